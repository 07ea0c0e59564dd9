import { invalidArgument, notFound, quote } from '../errors.ts';
import type { Handlers } from '../rpc/adapter.ts';
import { ControllerServiceCapability_RPC_Type as Capability, type ControllerService } from '../rpc/generated/csi.ts';
import type { VolumeLock } from '../rpc/volume-lock.ts';
import { nameInVolumeId, objectName } from '../volumes/volume-id.ts';
import type { VolumeStore } from '../volumes/volume-store.ts';
import { requireCompatible } from './compatibility.ts';
import { parseCreateRequest, toVolumeSpec } from './create-request.ts';
import { toCsiVolume } from './csi-volume.ts';
import { toPage } from './page.ts';
import { validate } from './validate.ts';

/** What the Controller service stands on. */
export interface ControllerServiceParts {
  readonly volumes: VolumeStore;
  readonly lock: VolumeLock;
  /** The node for a volume that lives in one, when the caller knows no topology. */
  readonly defaultNode: string | undefined;
}

/** Not GET_CAPACITY: how much memory a node has left for maps nobody knows here. */
const CAPABILITIES = [Capability.CREATE_DELETE_VOLUME, Capability.LIST_VOLUMES, Capability.SINGLE_NODE_MULTI_WRITER];

/**
 * CSI's Controller service: https://github.com/container-storage-interface/spec/blob/v1.13.0/spec.md#controller-service-rpc
 * A volume exists when its object does; its node makes what belongs to it at first use, and gives it up when the object is
 * gone.
 */
export function createControllerService(parts: ControllerServiceParts): Handlers<ControllerService> {
  const { volumes, lock, defaultNode } = parts;
  return {
    createVolume(request) {
      const asked = parseCreateRequest(request);
      return lock.run(objectName(asked.volumeName), async () => {
        const volume = await volumes.create(toVolumeSpec(asked, defaultNode));
        requireCompatible(volume, asked);
        return { volume: toCsiVolume(volume) };
      });
    },

    async deleteVolume({ volumeId }) {
      if (volumeId === '') throw invalidArgument('volume_id', 'required');
      const name = nameInVolumeId(volumeId);
      if (name !== undefined) await lock.run(name, () => volumes.delete(volumeId));
      return {};
    },

    async validateVolumeCapabilities(request) {
      if (request.volumeId === '') throw invalidArgument('volume_id', 'required');
      if (request.volumeCapabilities.length === 0) throw invalidArgument('volume_capabilities', 'required');
      const volume = await volumes.get(request.volumeId);
      if (volume === undefined) throw notFound(`there is no volume ${quote(request.volumeId)}`);
      return validate(volume, request);
    },

    listVolumes: async (request) => toPage(await volumes.list(), request),

    controllerGetCapabilities: () => ({
      capabilities: CAPABILITIES.map((type) => ({ type: { $case: 'rpc', value: { type } } })),
    }),
  };
}
