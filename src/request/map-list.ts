import type { Verb } from '../access/access.ts';
import { invalidArgument } from '../errors.ts';
import { OBJECT_NAME } from '../maps/names.ts';
import { quote } from '../text.ts';

/** A map, as a pod's author asks for it. */
export interface MapRequest {
  readonly name: string;
  readonly verb: Verb;
}

/** Where a list of maps is written: in a pod, or in a StorageClass. */
export type MapListField = 'volumeAttributes.maps' | 'parameters.maps';

const MAX_MAPS = 256;

/**
 * Parses `flows, limits:rw`: BpfMap names, read-only unless `:rw`, in the order written. Throws INVALID_ARGUMENT naming the field and the
 * invalid item.
 */
export function parseMapList(text: string, field: MapListField): readonly MapRequest[] {
  if (text.trim() === '') throw invalidArgument(field, 'names no map; write for example "flows, limits:rw"');
  const items = text.split(',');
  if (items.length > MAX_MAPS) throw invalidArgument(field, `${items.length} maps; a volume has at most ${MAX_MAPS}`);
  const seen = new Set<string>();
  return items.map((untrimmed) => {
    const item = untrimmed.trim();
    if (item === '') throw invalidArgument(field, 'an item is empty; is there a comma too many?');
    const colon = item.indexOf(':');
    const name = colon < 0 ? item : item.slice(0, colon);
    const access = colon < 0 ? undefined : item.slice(colon + 1);
    if (!OBJECT_NAME.test(name)) {
      throw invalidArgument(field, `${quote(name)} is no BpfMap name: a DNS-1123 subdomain of at most 128 characters`);
    }
    if (access === 'ro') throw invalidArgument(field, `${quote(item)}: read-only is the default; write "${name}"`);
    if (access !== undefined && access !== 'rw') {
      throw invalidArgument(field, `${quote(item)}: unknown access ${quote(access)}; write "${name}" or "${name}:rw"`);
    }
    if (seen.has(name)) throw invalidArgument(field, `"${name}" is named twice`);
    seen.add(name);
    return { name, verb: access === undefined ? 'read' : 'write' };
  });
}

/** The inverse of parseMapList: equal text for equal lists. */
export function formatMapList(maps: readonly MapRequest[]): string {
  return maps.map(({ name, verb }) => (verb === 'write' ? `${name}:rw` : name)).join(', ');
}
