import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rm, rmdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { IdentityClient, NodeClient } from '../rpc/client.ts';
import {
  VolumeCapability_AccessMode_Mode as Mode,
  type NodeGetVolumeHealthResponse,
  type NodeGetVolumeStatsResponse,
  type NodePublishVolumeRequest,
  type Volume,
} from '../rpc/csi.ts';
import { call, createCsiClient } from './csi-client.ts';

/** A pod that wants a volume: the relevant lines of its spec, and its identity. */
export interface Pod {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly name: string;
  /** The volume's name in the pod spec; default: maps. */
  readonly volumeName?: string;
  /** Of an inline volume, as in the pod spec: { maps: "flows, limits:rw" }. */
  readonly volumeAttributes?: Readonly<Record<string, string>>;
  /** The volume that its claim is bound to, if it is not an inline volume. */
  readonly persistentVolume?: Volume;
  readonly fsGroup?: number;
  readonly readOnly?: boolean;
}

/** Calls the node plugin as the kubelet does. Errors of the plugin are thrown as CallErrors. */
export interface Kubelet {
  /** Where the pod's volume is, or would be, published. */
  volumePath(pod: Pod): string;
  /** `change` may alter the request, to one that a kubelet would never send. */
  publish(pod: Pod, change?: (request: NodePublishVolumeRequest) => void): Promise<void>;
  unpublish(pod: Pod): Promise<void>;
  stats(pod: Pod): Promise<NodeGetVolumeStatsResponse>;
  health(pod: Pod): Promise<NodeGetVolumeHealthResponse>;
  /** Whether the node plugin is ready. */
  probe(): Promise<boolean>;
  close(): void;
}

/** The driver's name, under which the kubelet keeps its volumes. */
export const DRIVER_NAME = 'csi.bpffs.dev';

/**
 * The file that the kubelet writes beside a target before it publishes the volume, and removes when the volume is gone (saveVolumeData).
 * https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/volume/csi/csi_mounter.go
 */
export function volumeDataOf(volumeHandle: string, isPersistent: boolean): string {
  const volumeLifecycleMode = isPersistent ? 'Persistent' : 'Ephemeral';
  return JSON.stringify({ driverName: DRIVER_NAME, volumeHandle, volumeLifecycleMode });
}

/** The path of that file. */
export function volumeData(targetPath: string): string {
  return join(dirname(targetPath), 'vol_data.json');
}

/** Removes what the kubelet made around a target (removeMountDir). What the driver left there stays, so that it is noticed. */
async function tidy(targetPath: string): Promise<void> {
  if (existsSync(targetPath)) return;
  await rm(volumeData(targetPath), { force: true });
  await rmdir(dirname(targetPath)).catch(() => {});
}

/** `socket`: the node plugin's; `directory`: the kubelet's, with the pods' volumes. */
export function createKubelet(socket: string, directory: string): Kubelet {
  const identity = createCsiClient(IdentityClient, socket);
  const node = createCsiClient(NodeClient, socket);

  const uid = (pod: Pod) => {
    const hash = createHash('sha256').update(`${pod.namespace}/${pod.name}`).digest('hex');
    return [hash.slice(0, 8), hash.slice(8, 12), hash.slice(12, 16), hash.slice(16, 20), hash.slice(20, 32)].join('-');
  };
  const volumeId = (pod: Pod) =>
    pod.persistentVolume?.volumeId ??
    `csi-${createHash('sha256')
      .update(`${uid(pod)}/${pod.volumeName ?? 'maps'}`)
      .digest('hex')}`;
  const volumePath = (pod: Pod) =>
    join(directory, 'pods', uid(pod), 'volumes/kubernetes.io~csi', pod.volumeName ?? 'maps', 'mount');

  return {
    volumePath,
    async publish(pod, change) {
      const targetPath = volumePath(pod);
      await mkdir(dirname(targetPath), { recursive: true });
      await writeFile(volumeData(targetPath), volumeDataOf(volumeId(pod), pod.persistentVolume !== undefined));
      const request: NodePublishVolumeRequest = {
        volumeId: volumeId(pod),
        publishContext: {},
        stagingTargetPath: '',
        targetPath,
        volumeCapability: {
          accessMode: { mode: Mode.SINGLE_NODE_MULTI_WRITER },
          mount: { fsType: '', mountFlags: [], volumeMountGroup: pod.fsGroup?.toString() ?? '' },
        },
        readonly: pod.readOnly ?? false,
        secrets: {},
        volumeContext: {
          ...(pod.persistentVolume?.volumeContext ?? pod.volumeAttributes),
          'csi.storage.k8s.io/pod.name': pod.name,
          'csi.storage.k8s.io/pod.namespace': pod.namespace,
          'csi.storage.k8s.io/pod.uid': uid(pod),
          'csi.storage.k8s.io/serviceAccount.name': pod.serviceAccount,
          'csi.storage.k8s.io/ephemeral': String(pod.persistentVolume === undefined),
        },
      };
      change?.(request);
      try {
        await call(node, node.nodePublishVolume, request);
      } catch (error) {
        await tidy(targetPath);
        throw error;
      }
    },
    async unpublish(pod) {
      const targetPath = volumePath(pod);
      await call(node, node.nodeUnpublishVolume, { volumeId: volumeId(pod), targetPath });
      await tidy(targetPath);
    },
    stats: (pod) =>
      call(node, node.nodeGetVolumeStats, {
        volumeId: volumeId(pod),
        volumePath: volumePath(pod),
        stagingTargetPath: '',
      }),
    health: (pod) =>
      call(node, node.nodeGetVolumeHealth, {
        volumeId: volumeId(pod),
        volumePublishPath: volumePath(pod),
        stagingTargetPath: '',
      }),
    async probe() {
      return (await call(identity, identity.probe, {})).ready?.value !== false;
    },
    close() {
      identity.close();
      node.close();
    },
  };
}
