import type { CreatedMap } from '../rpc/pinner.ts';
import type { MapDefinition } from './map-definition.ts';

/** What the pinner calls a map that it makes for a BpfMap: a bpf filesystem takes no dot, and a BpfMap no "_". */
export function nameInStore(bpfMap: string): string {
  return bpfMap.replaceAll('.', '_');
}

/** As the pinner takes it. `name` is the map's in the store; `volumeId` is '' for a map that belongs to the node. */
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
