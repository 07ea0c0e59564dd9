import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { PodIdentity } from '../../src/access/access.ts';
import { call, createCsiClient } from '../../src/cli/csi-client.ts';
import { volumeData, volumeDataOf } from '../../src/cli/kubelet.ts';
import { NodeClient } from '../../src/rpc/client.ts';
import { publishRequest } from '../node-plugin/harness.ts';
import { targets } from './node-state.ts';
import { cluster } from './running.ts';
import type { Space } from './space.ts';

const AUDIENCE = 'csi.bpffs.dev';
const SOCKET = '/var/lib/kubelet/plugins/csi.bpffs.dev/csi.sock';

/** Calls the driver on the node in the kubelet's place. Refusals are thrown as a CallError. */
export interface Direct {
  /** Publishes one inline volume of the pod, besides those that it has. `token`: undefined sends none. */
  publish(pod: PodIdentity, maps: string, token: string | undefined): Promise<void>;
  unpublish(pod: PodIdentity): Promise<void>;
  /** Whether a volume is mounted on the node. */
  isPublished(pod: PodIdentity): Promise<boolean>;
  close(): void;
}

export function openDirect(): Direct {
  const client = createCsiClient(NodeClient, cluster.node.path(SOCKET));
  const targetOf = ({ podUid }: PodIdentity) =>
    `${cluster.kubeletDirectory}/pods/${podUid}/volumes/kubernetes.io~csi/direct/mount`;
  const volumeId = `csi-${'d'.repeat(64)}`;
  // Removes the directories that the kubelet would have made around a volume. The kubelet may remove them first.
  const tidy = (pod: PodIdentity) =>
    cluster
      .run('rm', '--force', volumeData(targetOf(pod)))
      .then(() => cluster.run('rmdir', '--parents', '--ignore-fail-on-non-empty', dirname(targetOf(pod))))
      .catch(() => {});
  return {
    async publish(pod, maps, token) {
      const targetPath = targetOf(pod);
      await mkdir(cluster.node.path(dirname(targetPath)), { recursive: true });
      await writeFile(cluster.node.path(volumeData(targetPath)), volumeDataOf(volumeId, false));
      const request = publishRequest((r) => {
        r.volumeId = volumeId;
        r.targetPath = targetPath;
        r.volumeContext = {
          maps,
          'csi.storage.k8s.io/pod.name': pod.podName,
          'csi.storage.k8s.io/pod.namespace': pod.namespace,
          'csi.storage.k8s.io/pod.uid': pod.podUid,
          'csi.storage.k8s.io/serviceAccount.name': pod.serviceAccount,
          'csi.storage.k8s.io/ephemeral': 'true',
          ...(token !== undefined && {
            'csi.storage.k8s.io/serviceAccount.tokens': JSON.stringify({ [AUDIENCE]: { token } }),
          }),
        };
      });
      try {
        await call(client, client.nodePublishVolume, request);
      } catch (error) {
        await tidy(pod);
        throw error;
      }
    },
    async unpublish(pod) {
      await call(client, client.nodeUnpublishVolume, { volumeId, targetPath: targetOf(pod) });
      await tidy(pod);
    },
    async isPublished(pod) {
      return (await targets(cluster)).some((target) => target.startsWith(targetOf(pod)));
    },
    close: () => client.close(),
  };
}

/** The identity of a pod. */
export async function identityOf(space: Space, podName: string): Promise<PodIdentity> {
  const columns = '--output=jsonpath={.metadata.uid} {.spec.serviceAccountName}';
  const [podUid = '', serviceAccount = ''] = (await space.kubectl('get', 'pod', podName, columns)).split(' ');
  return { namespace: space.name, serviceAccount, podName, podUid };
}

/** A service account's token, by default for the driver; with a pod, as the kubelet requests it. */
export async function createToken(
  { namespace, serviceAccount }: Pick<PodIdentity, 'namespace' | 'serviceAccount'>,
  pod?: PodIdentity,
  audience: string = AUDIENCE,
): Promise<string> {
  const bound = pod && [
    '--bound-object-kind=Pod',
    `--bound-object-name=${pod.podName}`,
    `--bound-object-uid=${pod.podUid}`,
  ];
  const token = ['create', 'token', serviceAccount, `--namespace=${namespace}`, `--audience=${audience}`];
  return await cluster.kubectl(...token, ...(bound ?? []));
}
