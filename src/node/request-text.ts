import { formatMapList, type MapRequest } from '../request/map-list.ts';
import type { PublishRequest } from './publish-request.ts';

/**
 * What a pod asked for, as the pinner stores it with the volume. A repeated request must have the same text; volume id, group and user
 * namespace are compared by the pinner itself. All versions of the driver must write the same text for the same request.
 */
export function requestText(request: PublishRequest): string {
  switch (request.type) {
    case 'maps':
      return `maps: ${formatMapList(request.maps.toSorted(byName))}`;
    case 'delegation':
      return `delegation: ${request.delegation}`;
    default:
      return `${request.type}: ${request.readOnly ? 'ro' : 'rw'}`;
  }
}

function byName({ name: one }: MapRequest, { name: other }: MapRequest): number {
  return one < other ? -1 : 1;
}
