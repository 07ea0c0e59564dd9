import { isPlainPath } from '../catalog/names.ts';
import { invalidArgument, notFound, quote } from '../errors.ts';
import type { Call, Handlers } from '../rpc/adapter.ts';
import {
  NodeServiceCapability_RPC_Type as Capability,
  type NodeService,
  VolumeUsage_Unit as Unit,
} from '../rpc/generated/csi.ts';
import type { Limiter } from '../rpc/limiter.ts';
import type { VolumeLock } from '../rpc/volume-lock.ts';
import { onNode } from '../volumes/topology.ts';
import { type PublishParts, publish } from './publish.ts';
import { volumeHealth } from './volume-health.ts';
import { parseVolumeReference } from './volume-reference.ts';

/** What the Node service stands on. */
export interface NodeServiceParts extends PublishParts {
  readonly limiter: Limiter;
  readonly lock: VolumeLock;
}

const CAPABILITIES = [
  Capability.VOLUME_MOUNT_GROUP,
  Capability.GET_VOLUME_STATS,
  Capability.GET_VOLUME_HEALTH,
  Capability.SINGLE_NODE_MULTI_WRITER,
];

/**
 * CSI's Node service: https://github.com/container-storage-interface/spec/blob/v1.13.0/spec.md#node-service-rpc
 * Decides what a volume holds, and leaves the making to the pinner: the node's mounts are the state.
 */
export function createNodeService(parts: NodeServiceParts): Handlers<NodeService> {
  const { nodeId, pinner, published, limiter, lock } = parts;

  // The lock first: a second operation on a volume learns at once that it has to come again, and takes no place in the queue.
  const onVolume = <T>(volumeId: string, { signal }: Call, work: () => Promise<T>) =>
    lock.run(volumeId, () => limiter.run(signal, work));

  return {
    nodePublishVolume(request, call) {
      const volume = parseVolumeReference(request);
      return onVolume(volume.volumeId, call, async () => {
        await publish(volume, request, parts, call);
        return {};
      });
    },

    nodeUnpublishVolume(request, call) {
      const volume = parseVolumeReference(request);
      return onVolume(volume.volumeId, call, async () => {
        await pinner.unpublishVolume(volume, call);
        published.remove(volume.targetPath);
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

    nodeGetVolumeHealth({ volumeId, volumePublishPath: targetPath }, call) {
      if (volumeId === '') throw invalidArgument('volume_id', 'required');
      if (targetPath !== '' && !isPlainPath(targetPath)) throw notFound(`no volume can be at ${quote(targetPath)}`);
      return limiter.run(call.signal, async () => ({
        volumeHealth: await volumeHealth({ volumeId, targetPath }, parts, call),
      }));
    },

    nodeGetCapabilities: () => ({
      capabilities: CAPABILITIES.map((type) => ({ type: { $case: 'rpc', value: { type } } })),
    }),

    nodeGetInfo: () => ({ nodeId, maxVolumesPerNode: 0, accessibleTopology: onNode(nodeId) }),
  };
}
