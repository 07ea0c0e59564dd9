import { isDeepStrictEqual } from 'node:util';
import { authorize, denial, type WantedMap } from '../access/authorize.ts';
import { alreadyExists, CallError, Code } from '../errors.ts';
import type { Call } from '../rpc/adapter.ts';
import type { FileChange } from '../rpc/generated/pinner.ts';
import type { PodCredentials } from './authority.ts';
import type { PublishParts } from './publish.ts';
import type { MapsRequest } from './publish-request.ts';
import type { Target } from './target.ts';
import { findMaps, toVolumeMaps } from './volume-maps.ts';

/**
 * Publishes maps of the catalog, each if the pod may have it: whatever is refused goes through `target`. Gives what became another
 * in a volume that was there.
 */
export async function publishMaps(
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
    const volume = { volumeId, targetPath, maps, gid, userNamespace, singleTarget, renew: true, request: '' };
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
