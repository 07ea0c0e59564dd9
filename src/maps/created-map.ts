import type { CreatedMap } from '../rpc/pinner.ts';
import type { MapDefinition } from './map-definition.ts';

/** The name in the pinner's store of a map made for a BpfMap: a bpf filesystem allows no dot, and a BpfMap's name has no "_". */
export function nameInStore(bpfMap: string): string {
  return bpfMap.replaceAll('.', '_');
}

/** `name`: in the pinner's store. `volumeId`: empty for a map that belongs to the node. */
export function toCreatedMap(definition: MapDefinition, name: string, volumeId: string): CreatedMap {
  const { inner } = definition;
  return {
    ...definition,
    name,
    volumeId,
    flags: [...definition.flags],
    inner: inner === undefined ? null : { ...inner, flags: [...inner.flags] },
  };
}
