import { createHash } from 'node:crypto';
import { formatMapList } from '../volumes/map-list.ts';
import type { PublishRequest } from './publish-request.ts';

/**
 * What a pod asked for, as a volume remembers it: a request for a volume that is there has to be the same, but for what the pinner
 * sees itself (id, group, user namespace). Other versions of the driver have to say the same of the same request. 43 of [A-Za-z0-9_-].
 */
export function requestDigest(request: PublishRequest): string {
  const { type } = request;
  const asked = type === 'maps' ? formatMapList(request.maps.toSorted(byName)) : request.readOnly;
  return createHash('sha256')
    .update(JSON.stringify([type, asked]))
    .digest('base64url');
}

function byName({ name: one }: { readonly name: string }, { name: other }: { readonly name: string }): number {
  return one < other ? -1 : 1;
}
