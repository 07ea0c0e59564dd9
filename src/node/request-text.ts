import { formatMapList, type MapRequest } from '../request/map-list.ts';
import type { PublishRequest } from './publish-request.ts';

/**
 * What a pod asked for, which its volume remembers: a request for a volume that is there has to be the same, but for what the pinner
 * sees itself (id, group, user namespace). Other versions of the driver have to say the same of the same request.
 */
export function requestText(request: PublishRequest): string {
  const { type } = request;
  return `${type}: ${type === 'maps' ? formatMapList(request.maps.toSorted(byName)) : request.readOnly ? 'ro' : 'rw'}`;
}

function byName({ name: one }: MapRequest, { name: other }: MapRequest): number {
  return one < other ? -1 : 1;
}
