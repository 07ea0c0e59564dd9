/** How volumes are published: with which access, and by how many callers at the same time. */
export interface Shape {
  readonly access: 'ro' | 'rw';
  readonly callers: number;
}

/** The shapes that are measured. */
export const SHAPES: readonly Shape[] = (['ro', 'rw'] as const).flatMap((access) =>
  [1, 8, 32].map((callers) => ({ access, callers })),
);

/** How many maps a measured volume has, where nothing else is said. */
export const MAPS = 2;

/** The attribute `maps` of a volume with the first maps of the catalog. */
export function mapsAttribute(maps: number, access: Shape['access']): string {
  return Array.from({ length: maps }, (_, map) => `map${map}${access === 'rw' ? ':rw' : ''}`).join(', ');
}
