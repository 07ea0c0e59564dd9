import type { Volume } from '../volumes/volume.ts';

/**
 * Of several volumes that a name may stand for, the one that pods use: one that they have used on this node, and of several the newest.
 * Undefined: none. `kept`: the ids of the volumes that the pinner keeps, because pods have used them here.
 */
export async function volumeInUse(
  volumes: readonly Volume[],
  kept: () => Promise<readonly string[]>,
): Promise<Volume | undefined> {
  let candidates = volumes;
  if (candidates.length > 1) {
    const ids = new Set(await kept());
    const used = candidates.filter(({ id }) => ids.has(id));
    if (used.length > 0) candidates = used;
  }
  return candidates.toSorted((a, b) => b.createdAt.getTime() - a.createdAt.getTime())[0];
}
