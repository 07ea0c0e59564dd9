import type { MapFlag, MapType } from './map-type-rules.ts';

/** What a map shall be: good for the kernel, and complete. */
export interface MapDefinition {
  readonly type: MapType;
  /** Bytes. */
  readonly keySize: number;
  /** Bytes. */
  readonly valueSize: number;
  /** Elements, or bytes of a ring buffer. */
  readonly maxEntries: number;
  readonly flags: readonly MapFlag[];
  /** For array_of_maps and hash_of_maps, and for no other: what the maps in it look like. */
  readonly inner?: Omit<MapDefinition, 'inner'>;
}
