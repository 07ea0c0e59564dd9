import type { Verb } from '../access/access.ts';
import { OBJECT_NAME } from '../catalog/names.ts';
import { invalidArgument, quote } from '../errors.ts';

/** A map as a pod's author asks for it. */
export interface MapRequest {
  readonly name: string;
  readonly verb: Verb;
}

const FIELD = 'volumeAttributes.maps';
const MOST = 256;

/**
 * Parses `flows, limits:rw`: BpfMap names, read-only unless `:rw`, in the order written. Throws INVALID_ARGUMENT naming
 * volumeAttributes.maps and the item at fault.
 */
export function parseMapList(text: string): readonly MapRequest[] {
  if (text.trim() === '') throw invalidArgument(FIELD, 'names no map; write for example "flows, limits:rw"');
  const items = text.split(',');
  if (items.length > MOST) throw invalidArgument(FIELD, `${items.length} maps; a volume has at most ${MOST}`);
  const seen = new Set<string>();
  return items.map((untrimmed) => {
    const item = untrimmed.trim();
    if (item === '') throw invalidArgument(FIELD, 'an item is empty; is there a comma too many?');
    const colon = item.indexOf(':');
    const name = colon < 0 ? item : item.slice(0, colon);
    const access = colon < 0 ? undefined : item.slice(colon + 1);
    if (!OBJECT_NAME.test(name)) {
      throw invalidArgument(FIELD, `${quote(name)} is no BpfMap name: a DNS-1123 subdomain of at most 128 characters`);
    }
    if (access === 'ro') throw invalidArgument(FIELD, `${quote(item)}: read-only is the default; write "${name}"`);
    if (access !== undefined && access !== 'rw') {
      throw invalidArgument(FIELD, `${quote(item)}: unknown access ${quote(access)}; write "${name}" or "${name}:rw"`);
    }
    if (seen.has(name)) throw invalidArgument(FIELD, `"${name}" is named twice`);
    seen.add(name);
    return { name, verb: access === undefined ? 'read' : 'write' };
  });
}
