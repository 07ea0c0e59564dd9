import type { Access } from '../access/access.ts';
import { authorize } from '../access/authorize.ts';
import type { Catalog } from '../catalog/catalog.ts';
import { isPlainPath } from '../catalog/names.ts';
import { invalidArgument, notFound, quote } from '../errors.ts';
import type { Metrics } from '../metrics.ts';
import type { Pinner } from '../pinner/pinner.ts';
import type { Call, Handlers } from '../rpc/adapter.ts';
import {
  NodeServiceCapability_RPC_Type as Capability,
  type NodeService,
  VolumeUsage_Unit as Unit,
} from '../rpc/generated/csi.ts';
import type { Limiter } from '../rpc/limiter.ts';
import type { VolumeLock } from '../rpc/volume-lock.ts';
import { parsePublishRequest } from './publish-request.ts';
import { findMaps, toVolumeMaps } from './volume-maps.ts';
import { parseVolumeReference } from './volume-reference.ts';

/** What the Node service stands on. */
export interface NodeServiceParts {
  readonly nodeId: string;
  readonly catalog: Catalog;
  readonly access: Access;
  readonly pinner: Pinner;
  readonly limiter: Limiter;
  readonly lock: VolumeLock;
  readonly metrics: Metrics;
}

const CAPABILITIES = [Capability.VOLUME_MOUNT_GROUP, Capability.GET_VOLUME_STATS, Capability.SINGLE_NODE_MULTI_WRITER];

/**
 * CSI's Node service: https://github.com/container-storage-interface/spec/blob/v1.13.0/spec.md#node-service-rpc
 * Decides what a volume holds, and leaves the making to the pinner. Holds no state: the node's mounts are the state.
 */
export function createNodeService(parts: NodeServiceParts): Handlers<NodeService> {
  const { nodeId, catalog, access, pinner, limiter, lock, metrics } = parts;

  // The lock first: a second operation on a volume learns at once that it has to come again, and takes no place in the queue.
  const onVolume = <T>(volumeId: string, { signal }: Call, work: () => Promise<T>) =>
    lock.run(volumeId, () => limiter.run(signal, work));

  return {
    nodePublishVolume(request, call) {
      const { volumeId, targetPath, maps, gid, userNamespace, pod } = parsePublishRequest(request);
      return onVolume(volumeId, call, async () => {
        const wanted = findMaps(maps, catalog);
        await authorize(wanted, pod, access, metrics, call.signal);
        await pinner.publishVolume({ volumeId, targetPath, maps: toVolumeMaps(wanted), gid, userNamespace }, call);
        return {};
      });
    },

    nodeUnpublishVolume(request, call) {
      const volume = parseVolumeReference(request);
      return onVolume(volume.volumeId, call, async () => {
        await pinner.unpublishVolume(volume, call);
        return {};
      });
    },

    nodeGetVolumeStats({ volumeId, volumePath: targetPath }, call) {
      if (volumeId === '') throw invalidArgument('volume_id', 'required');
      if (targetPath === '') throw invalidArgument('volume_path', 'required');
      if (!isPlainPath(targetPath)) throw notFound(`no volume can be at ${quote(targetPath)}`);
      return limiter.run(call.signal, async () => {
        const { maps, memoryBytes } = await pinner.getVolumeStats({ volumeId, targetPath }, call);
        const full = (unit: Unit, used: number) => ({ unit, used, total: used, available: 0 });
        return { usage: [full(Unit.INODES, maps), full(Unit.BYTES, memoryBytes)] };
      });
    },

    nodeGetCapabilities: () => ({
      capabilities: CAPABILITIES.map((type) => ({ type: { $case: 'rpc', value: { type } } })),
    }),

    nodeGetInfo: () => ({ nodeId, maxVolumesPerNode: 0, accessibleTopology: undefined }),
  };
}
