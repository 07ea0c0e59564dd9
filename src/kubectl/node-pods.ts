import * as z from 'zod/mini';
import { failedPrecondition } from '../errors.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import { listAll } from '../kubernetes/list-all.ts';
import { understood } from '../kubernetes/understood.ts';

/** A pod of the driver's DaemonSet. */
export interface NodePod {
  readonly node: string;
  readonly namespace: string;
  readonly name: string;
}

const PODS = { group: '', version: 'v1', plural: 'pods' };
const NODE_PODS = 'app.kubernetes.io/name=csi-driver-bpffs,app.kubernetes.io/component=node';

const podSchema = z.object({
  metadata: z.object({ deletionTimestamp: z.nullish(z.string()) }),
  spec: z.object({ nodeName: z.nullish(z.string()) }),
});

/**
 * The pods of the driver on `nodes` (empty: on all), by node. Throws FAILED_PRECONDITION if there is none, or none on one of `nodes`, and
 * an ApiError.
 */
export async function findNodePods(
  client: KubernetesClient,
  namespace: string,
  nodes: readonly string[],
): Promise<readonly NodePod[]> {
  const pods = new Map<string, NodePod>();
  for (const item of await listAll(client, PODS, { namespace, labelSelector: NODE_PODS })) {
    const { metadata, spec } = understood(podSchema, item, `pod ${item.metadata.name}`);
    // While a pod is replaced, a node may have two of them.
    if (spec.nodeName == null || (metadata.deletionTimestamp != null && pods.has(spec.nodeName))) continue;
    pods.set(spec.nodeName, { node: spec.nodeName, namespace, name: item.metadata.name });
  }
  if (pods.size === 0) {
    throw failedPrecondition(
      `there is no pod of csi-driver-bpffs-node in namespace ${namespace}; is the driver installed in another one (--driver-namespace)?`,
    );
  }
  const absent = nodes.filter((node) => !pods.has(node));
  if (absent.length > 0) throw failedPrecondition(`the driver has no pod on node ${absent.join(', ')}`);
  const wanted =
    nodes.length === 0 ? [...pods.values()] : [...pods.values()].filter(({ node }) => nodes.includes(node));
  return wanted.sort((a, b) => (a.node < b.node ? -1 : 1));
}
