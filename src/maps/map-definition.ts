import type { MapFlag, MapType } from './map-type-rules.ts';

/** A complete definition of a map that the kernel accepts. */
export interface MapDefinition {
  readonly type: MapType;
  /** Bytes. */
  readonly keySize: number;
  /** Bytes. */
  readonly valueSize: number;
  /** Elements, or bytes of a ring buffer. */
  readonly maxEntries: number;
  readonly flags: readonly MapFlag[];
  /** Only for array_of_maps and hash_of_maps: the maps in it. */
  readonly inner?: Omit<MapDefinition, 'inner'>;
}
