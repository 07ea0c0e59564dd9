import type { Access } from '../access/access.ts';
import { authorize } from '../access/authorize.ts';
import type { Catalog } from '../catalog/catalog.ts';
import { toCreatedMap } from '../catalog/created-map.ts';
import { failedPrecondition, notFound } from '../errors.ts';
import type { Metrics } from '../metrics.ts';
import type { Pinner } from '../pinner/pinner.ts';
import type { Call } from '../rpc/adapter.ts';
import { Access as MapAccess, type VolumeMap } from '../rpc/generated/pinner.ts';
import type { NewMap, VolumeSpec } from '../volumes/volume.ts';
import type { VolumeReader } from '../volumes/volume-store.ts';
import type { MapsRequest, PersistentRequest, PublishRequest } from './publish-request.ts';
import { findMaps, type ResolveSource, toVolumeMaps } from './volume-maps.ts';

/** What publishing stands on. */
export interface PublishParts {
  readonly nodeId: string;
  readonly catalog: Catalog;
  readonly access: Access;
  readonly resolveSource: ResolveSource;
  /** Undefined: there are no persistent volumes but those of type maps. */
  readonly volumes: VolumeReader | undefined;
  readonly pinner: Pinner;
  readonly metrics: Metrics;
}

/**
 * Decides what the volume holds and has the pinner make it. Throws NOT_FOUND, PERMISSION_DENIED or FAILED_PRECONDITION for
 * what the pod may not have, UNAVAILABLE for what is not there yet, and whatever the pinner says.
 */
export async function publish(request: PublishRequest, parts: PublishParts, call: Call): Promise<void> {
  if (request.type === 'maps') return await publishMaps(request, parts, call);
  const { content, userNamespace } = await findVolume(request, parts);
  if (content.type === 'shared') return await publishShared(request, content.newMaps, userNamespace, parts, call);
  const { volumeId, targetPath, gid, singleTarget, readOnly } = request;
  await parts.pinner.publishWorkspace({ volumeId, targetPath, gid, readOnly, singleTarget }, call);
}

async function publishMaps(request: MapsRequest, parts: PublishParts, call: Call): Promise<void> {
  const { volumeId, targetPath, gid, userNamespace, singleTarget } = request;
  const wanted = findMaps(request.maps, parts.catalog);
  await authorize(wanted, request.pod, parts.access, parts.metrics, call.signal);
  const maps = await toVolumeMaps(wanted, parts.resolveSource);
  await parts.pinner.publishVolume({ volumeId, targetPath, maps, gid, userNamespace, singleTarget }, call);
}

async function publishShared(
  { volumeId, targetPath, gid, singleTarget, readOnly }: PersistentRequest,
  newMaps: readonly NewMap[],
  userNamespace: boolean,
  { pinner }: PublishParts,
  call: Call,
): Promise<void> {
  const access = readOnly ? MapAccess.READ_ONLY : MapAccess.READ_WRITE;
  const maps = toSharedMaps(volumeId, newMaps, access);
  await pinner.publishVolume({ volumeId, targetPath, maps, gid, userNamespace, singleTarget }, call);
}

/** The files of a shared volume. */
export function toSharedMaps(volumeId: string, newMaps: readonly NewMap[], access: MapAccess): VolumeMap[] {
  return newMaps.map(({ name, ...definition }) => ({
    name,
    fileName: name,
    access,
    source: { from: { $case: 'created', value: toCreatedMap(definition, name, volumeId) } },
  }));
}

/** The volume's object is believed, not the PersistentVolume: anyone who can write one could name any volume in it. */
async function findVolume({ volumeId, type }: PersistentRequest, parts: PublishParts): Promise<VolumeSpec> {
  if (parts.volumes === undefined) {
    throw failedPrecondition(`this node plugin was started without --volumes, which a volume of type ${type} takes`);
  }
  const volume = await parts.volumes.get(volumeId);
  if (volume === undefined) {
    throw notFound(
      `there is no BpfVolume for volume ${volumeId}: it was deleted, or its PersistentVolume was written by hand, which type ${type} does not allow`,
    );
  }
  const { content, nodeName } = volume.spec;
  if (content.type !== type) throw failedPrecondition(`volume ${volumeId} has type ${content.type}, not ${type}`);
  if (nodeName !== parts.nodeId) {
    throw failedPrecondition(
      `volume ${volumeId} lives in the memory of node ${nodeName}; this is node ${parts.nodeId}`,
    );
  }
  return volume.spec;
}
