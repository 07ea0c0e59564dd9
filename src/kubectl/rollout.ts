import * as z from 'zod/mini';
import type { CheckReport, NodeReport } from '../inspection/reports.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import { understood } from '../kubernetes/understood.ts';

const DAEMON_SETS = { group: 'apps', version: 'v1', plural: 'daemonsets' };
const NAME = 'csi-driver-bpffs-node';

const statusSchema = z.object({
  status: z.object({ desiredNumberScheduled: z.number(), numberReady: z.optional(z.number()) }),
});

/** Whether the driver runs on every node that it should run on. Throws an ApiError. */
export async function rolloutCheck(client: KubernetesClient, namespace: string): Promise<CheckReport> {
  const object = await client.get(DAEMON_SETS, { namespace, name: NAME });
  const { desiredNumberScheduled: desired, numberReady: ready = 0 } = understood(
    statusSchema,
    object,
    'DaemonSet',
  ).status;
  const what = `DaemonSet ${NAME}`;
  if (ready >= desired) return { state: 'ok', what, found: `${ready} of ${desired} pods are ready` };
  const remedy = `kubectl get pods -n ${namespace} -l app.kubernetes.io/component=node -o wide`;
  return { state: 'fail', what, found: `only ${ready} of ${desired} pods are ready; look at ${remedy}` };
}

/** Whether all nodes run the same version. */
export function versionCheck(reports: readonly Pick<NodeReport, 'version' | 'pinner'>[]): CheckReport {
  const versions = new Set(reports.flatMap(({ version, pinner }) => [version, ...(pinner ? [pinner.version] : [])]));
  const found = [...versions].sort().join(', ');
  if (versions.size <= 1) return { state: 'ok', what: 'version', found: `${found} everywhere` };
  return { state: 'warn', what: 'version', found: `${found}: an update is under way, or some pods do not get it` };
}
