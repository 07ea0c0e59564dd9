import { isDeepStrictEqual } from 'node:util';
import { authorize, denial, type WantedMap } from '../access/authorize.ts';
import { toCreatedMap } from '../catalog/created-map.ts';
import { alreadyExists, CallError, Code, failedPrecondition, notFound, permissionDenied } from '../errors.ts';
import type { NodeMetrics } from '../metrics.ts';
import type { Pinner } from '../pinner/pinner.ts';
import type { Call } from '../rpc/adapter.ts';
import { type FileChange, Access as MapAccess, type VolumeMap } from '../rpc/generated/pinner.ts';
import type { NewMap, VolumeSpec } from '../volumes/volume.ts';
import type { Authority, PodCredentials } from './authority.ts';
import type { MapsRequest, PersistentRequest, PublishRequest } from './publish-request.ts';
import type { Published } from './published.ts';
import { observeTarget, type Target } from './target.ts';
import { toVolumeChanges } from './volume-changes.ts';
import { findMaps, toVolumeMaps } from './volume-maps.ts';

/** What publishing stands on. */
export interface PublishParts {
  readonly nodeId: string;
  readonly authority: Authority;
  readonly published: Published;
  readonly pinner: Pinner;
  readonly metrics: NodeMetrics;
}

/**
 * Decides what the volume holds and has the pinner make it. Throws UNAUTHENTICATED for a pod that is another, NOT_FOUND,
 * PERMISSION_DENIED or FAILED_PRECONDITION for what it may not have, UNAVAILABLE for what is not there yet, and whatever the pinner
 * says.
 *
 * For a volume that is there, whose pod may be running, it is too late to refuse. It loses what its pod may not have any more, and
 * keeps what nothing can be told of at the moment.
 */
export async function publish(
  request: PublishRequest,
  credentials: PodCredentials,
  parts: PublishParts,
  call: Call,
): Promise<void> {
  const target = observeTarget(request, parts.pinner, call);
  try {
    const changes =
      request.type === 'maps'
        ? await publishMaps(request, credentials, target, parts, call)
        : await publishPersistent(request, parts, call);
    parts.published.add(request);
    tell(request, changes, parts);
  } catch (error) {
    throw await target.asAnswer(error);
  }
}

async function publishMaps(
  request: MapsRequest,
  credentials: PodCredentials,
  target: Target,
  { authority, published, pinner, metrics }: PublishParts,
  call: Call,
): Promise<readonly FileChange[]> {
  const { volumeId, targetPath, gid, userNamespace, singleTarget } = request;
  const before = published.at(targetPath);
  if (before?.type === 'maps' && !isDeepStrictEqual(before.maps, request.maps) && (await target.isPublished())) {
    throw alreadyExists(`${targetPath}: published with other maps or access`);
  }
  const pod = await authority.identify(request.pod, credentials, call.signal);
  const { found, missing } = findMaps(request.maps, authority.catalog);
  if (missing !== undefined) await target.refuse(missing);
  const { granted, denied } = await authorize(found, pod, authority.access, call.signal);
  for (const { verb, reason } of denied) metrics.denied(verb, reason);
  const publishOnly = async (allowed: readonly WantedMap[]): Promise<readonly FileChange[]> => {
    const maps = await toVolumeMaps(allowed, authority.resolveSource, target.refuse);
    const volume = { volumeId, targetPath, maps, gid, userNamespace, singleTarget, renew: true };
    return (await pinner.publishVolume(volume, call)).changes;
  };
  if (denied.length === 0) return await publishOnly(granted);
  await target.refuse(denial(pod, denied));
  const toRead = denied.flatMap(({ map, verb }): WantedMap[] => (verb === 'write' ? [{ map, verb: 'read' }] : []));
  const readable = (await authorize(toRead, pod, authority.access, call.signal)).granted;
  try {
    return await publishOnly([...granted, ...readable]);
  } catch (error) {
    // A pod with a workspace has no map that it may only read.
    if (readable.length === 0 || CallError.from(error).code !== Code.FAILED_PRECONDITION) throw error;
    return await publishOnly(granted);
  }
}

async function publishPersistent(
  request: PersistentRequest,
  parts: PublishParts,
  call: Call,
): Promise<readonly FileChange[]> {
  const { volumeId, targetPath, gid, singleTarget, readOnly } = request;
  const { content, userNamespace } = await findVolume(request, parts);
  if (content.type === 'shared') {
    const maps = toSharedMaps(volumeId, content.newMaps, readOnly ? MapAccess.READ_ONLY : MapAccess.READ_WRITE);
    const volume = { volumeId, targetPath, maps, gid, userNamespace, singleTarget, renew: false };
    return (await parts.pinner.publishVolume(volume, call)).changes;
  }
  const workspace = { volumeId, targetPath, gid, readOnly, singleTarget };
  return (await parts.pinner.publishWorkspace(workspace, call)).changes;
}

function tell(request: PublishRequest, changes: readonly FileChange[], { authority, metrics }: PublishParts): void {
  if (changes.length === 0) return;
  for (const { reason, note, files } of toVolumeChanges(request, changes)) {
    metrics.volumeChanged(reason, files);
    if (request.pod !== undefined) authority.tell(request.pod, reason, note);
  }
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

/**
 * The volume's object is believed, not the PersistentVolume: anyone who can write one could name any volume in it. For the same
 * reason a volume is only for pods of the namespace whose claim it was made for.
 */
async function findVolume(
  { volumeId, type, pod }: PersistentRequest,
  { authority: { volumes }, nodeId }: PublishParts,
): Promise<VolumeSpec> {
  if (volumes === undefined) {
    throw failedPrecondition(`this node plugin was started without --volumes, which a volume of type ${type} takes`);
  }
  const volume = await volumes.get(volumeId);
  if (volume === undefined) {
    throw notFound(
      `there is no BpfVolume for volume ${volumeId}: it was deleted, or its PersistentVolume was written by hand, which type ${type} does not allow`,
    );
  }
  const { content, nodeName, claim } = volume.spec;
  if (content.type !== type) throw failedPrecondition(`volume ${volumeId} has type ${content.type}, not ${type}`);
  if (claim !== undefined && pod !== undefined && claim.namespace !== pod.namespace) {
    throw permissionDenied(
      `volume ${volumeId} was made for claim ${claim.namespace}/${claim.name}, and is for pods of that namespace only; pod ${pod.podName} is in ${pod.namespace}`,
    );
  }
  if (nodeName !== nodeId) {
    throw failedPrecondition(`volume ${volumeId} lives in the memory of node ${nodeName}; this is node ${nodeId}`);
  }
  return volume.spec;
}
