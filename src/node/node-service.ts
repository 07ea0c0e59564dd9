import { invalidArgument, notFound } from '../errors.ts';
import { isPlainPath } from '../maps/names.ts';
import type { Limiter } from '../process/limiter.ts';
import { onNode } from '../request/topology.ts';
import type { Handlers } from '../rpc/adapter.ts';
import {
  NodeServiceCapability_RPC_Type as Capability,
  type NodeDefinition,
  VolumeUsage_Unit as Unit,
} from '../rpc/csi.ts';
import type { Lock } from '../rpc/lock.ts';
import { quote } from '../text.ts';
import { publish } from './publish.ts';
import type { PublishParts } from './publish-parts.ts';
import { staging } from './staging.ts';
import { volumeHealth } from './volume-health.ts';
import { parseVolumeReference, requireVolumeId, type VolumeReference } from './volume-reference.ts';

/** What the Node service depends on. */
export interface NodeServiceParts extends PublishParts {
  /** Limits the calls in progress, queued ones included. */
  readonly calls: Limiter;
  readonly lock: Lock;
}

const CAPABILITIES = [
  Capability.STAGE_UNSTAGE_VOLUME,
  Capability.VOLUME_MOUNT_GROUP,
  Capability.GET_VOLUME_STATS,
  Capability.GET_VOLUME_HEALTH,
  Capability.SINGLE_NODE_MULTI_WRITER,
];

/**
 * CSI's Node service: https://github.com/container-storage-interface/spec/blob/v1.13.0/spec.md#node-service-rpc
 * Decides what a volume contains and leaves the rest to the pinner. The node's mounts are the only state.
 */
export function createNodeService(parts: NodeServiceParts): Handlers<NodeDefinition> {
  const { nodeId, pinner, published, calls, lock } = parts;

  // Locks the target path, because the pods of one claim come and go at the same time.
  const atTarget = <T>({ targetPath }: VolumeReference, work: () => Promise<T>) => lock.run(targetPath, work);

  return {
    ...staging,

    nodePublishVolume(request, call) {
      const volume = parseVolumeReference(request);
      return atTarget(volume, () =>
        calls.run(call.signal, async () => {
          await publish(volume, request, parts, call);
          return {};
        }),
      );
    },

    // Waits for the kernel alone, so that pods can terminate while the API server is down or the limit of calls is reached.
    nodeUnpublishVolume(request, call) {
      const volume = parseVolumeReference(request);
      return atTarget(volume, async () => {
        await pinner.unpublishVolume(volume, call);
        published.remove(volume.targetPath);
        return {};
      });
    },

    // Usage without a total: a map does not outgrow its definition, and its memory is unrelated to the claim's size. A total close to the
    // usage would look like a volume that fills up. For CSI and the kubelet, 0 means unknown.
    nodeGetVolumeStats({ volumeId, volumePath: targetPath }, call) {
      requireVolumeId(volumeId);
      if (targetPath === '') throw invalidArgument('volume_path', 'required');
      if (!isPlainPath(targetPath)) throw notFound(`no volume can be at ${quote(targetPath)}`);
      return calls.run(call.signal, async () => {
        const { maps, memoryBytes } = await pinner.getVolumeStats({ volumeId, targetPath }, call);
        const used = (unit: Unit, used: number) => ({ unit, used, total: 0, available: 0 });
        return { usage: [used(Unit.INODES, maps), used(Unit.BYTES, memoryBytes)] };
      });
    },

    nodeGetVolumeHealth({ volumeId, volumePublishPath: targetPath }, call) {
      requireVolumeId(volumeId);
      if (targetPath !== '' && !isPlainPath(targetPath)) throw notFound(`no volume can be at ${quote(targetPath)}`);
      return calls.run(call.signal, async () => ({
        volumeHealth: await volumeHealth({ volumeId, targetPath }, parts, call),
      }));
    },

    nodeGetCapabilities: () => ({
      capabilities: CAPABILITIES.map((type) => ({ rpc: { type } })),
    }),

    nodeGetInfo: () => ({ nodeId, maxVolumesPerNode: 0, accessibleTopology: onNode(nodeId) }),
  };
}
