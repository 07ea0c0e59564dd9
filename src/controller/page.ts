import { aborted, internal, invalidArgument } from '../errors.ts';
import type { ListVolumesRequest, ListVolumesResponse } from '../rpc/csi.ts';
import { quote } from '../text.ts';
import { nameInVolumeId } from '../volumes/volume-id.ts';
import type { VolumeListing } from '../volumes/volume-store.ts';
import { toCsiVolume } from './csi-volume.ts';

/**
 * A page of the volumes after the one that the token names. Volumes that are created or deleted between two pages neither repeat nor hide
 * others. Throws ABORTED for an invalid token, after which the caller starts again, and INTERNAL when a volume is invalid, because a list
 * without it would say that it is gone.
 */
export function toPage({ volumes, damaged }: VolumeListing, request: ListVolumesRequest): ListVolumesResponse {
  const { maxEntries, startingToken: after } = request;
  if (maxEntries < 0) throw invalidArgument('max_entries', `${maxEntries} is negative`);
  if (after !== '' && nameInVolumeId(after) === undefined) {
    throw aborted(`starting_token: ${quote(after)} is no next_token of this driver; list again from the beginning`);
  }
  const [first, ...others] = damaged;
  if (first !== undefined) throw internal(others.length === 0 ? first : `${first}; and ${others.length} more`);
  const rest = volumes.filter(({ id }) => id > after);
  const page = maxEntries === 0 ? rest : rest.slice(0, maxEntries);
  return {
    entries: page.map((volume) => ({ volume: toCsiVolume(volume), status: null })),
    nextToken: page.length < rest.length ? (page.at(-1)?.id ?? '') : '',
  };
}
