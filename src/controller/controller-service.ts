import { invalidArgument, notFound, resourceExhausted } from '../errors.ts';
import type { Handlers } from '../rpc/adapter.ts';
import { ControllerServiceCapability_RPC_Type as Capability, type ControllerDefinition } from '../rpc/csi.ts';
import type { Lock } from '../rpc/lock.ts';
import { quote } from '../text.ts';
import type { Volume } from '../volumes/volume.ts';
import { nameInVolumeId, objectName } from '../volumes/volume-id.ts';
import type { VolumeStore } from '../volumes/volume-store.ts';
import { isAllowedThere, requireCompatible } from './compatibility.ts';
import { parseCreateRequest, toVolumeSpec } from './create-request.ts';
import { toCsiVolume } from './csi-volume.ts';
import type { OpenStore } from './open-store.ts';
import { toPage } from './page.ts';
import { validate } from './validate.ts';

/** What the Controller service depends on. */
export interface ControllerServiceParts extends Pick<OpenStore, 'findOwner'> {
  readonly volumes: VolumeStore;
  readonly lock: Lock;
  /** The node of volumes that live on one node, for callers that request no topology. */
  readonly defaultNode: string | undefined;
}

/** Without GET_CAPACITY: the controller does not know how much memory a node has left for maps. */
const CAPABILITIES = [Capability.CREATE_DELETE_VOLUME, Capability.LIST_VOLUMES, Capability.SINGLE_NODE_MULTI_WRITER];

/**
 * An earlier attempt may have created the volume on a node that was abandoned since. Deletes it if it is certainly unused, so that it can
 * be created again. Otherwise throws RESOURCE_EXHAUSTED, after which the scheduler tries another node.
 */
async function removeUnused(volume: Volume, volumes: VolumeStore): Promise<void> {
  if ((await volumes.isUnused?.(volume)) === true) return await volumes.delete(volume.id);
  throw resourceExhausted(
    `volume ${volume.id} exists already, in the memory of node ${volume.spec.nodeName}, which is not allowed: delete the claim and create it again`,
  );
}

/**
 * CSI's Controller service: https://github.com/container-storage-interface/spec/blob/v1.13.0/spec.md#controller-service-rpc
 * A volume exists when its object does. Its node makes the volume's content at first use, and releases it when the object is gone.
 */
export function createControllerService(parts: ControllerServiceParts): Handlers<ControllerDefinition> {
  const { volumes, lock, defaultNode, findOwner } = parts;
  return {
    createVolume(request) {
      const parsed = parseCreateRequest(request);
      return lock.run(`volume ${objectName(parsed.volumeName)}`, async () => {
        const requested = toVolumeSpec(parsed, defaultNode);
        const { claim, content } = requested;
        const isWorkspace = claim !== undefined && content.type === 'workspace';
        const owned = isWorkspace ? await findOwner?.(claim, requested.volumeName) : undefined;
        const spec = { ...requested, ...owned };
        let volume = await volumes.create(spec);
        requireCompatible(volume, parsed);
        if (!isAllowedThere(volume, parsed)) {
          await removeUnused(volume, volumes);
          volume = await volumes.create(spec);
        }
        return { volume: toCsiVolume(volume) };
      });
    },

    async deleteVolume({ volumeId }) {
      if (volumeId === '') throw invalidArgument('volume_id', 'required');
      const name = nameInVolumeId(volumeId);
      if (name !== undefined) await lock.run(`volume ${name}`, () => volumes.delete(volumeId));
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
      capabilities: CAPABILITIES.map((type) => ({ rpc: { type } })),
    }),
  };
}
