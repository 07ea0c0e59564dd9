import { volumeId } from '../volumes/volume-id.ts';
import type { DamagedObject } from '../volumes/volume-objects-followed.ts';
import type { PersistentVolume } from './binding.ts';
import type { Problem } from './problem-events.ts';

/**
 * For each damaged BpfVolume a problem of the claims that its PersistentVolumes are bound to, or of the BpfVolume itself if there are none.
 * What a damaged object says of its claim does not count. A PersistentVolume has its claim's uid too, without which `kubectl describe` would
 * not show the event.
 */
export function problemsOf(
  damaged: readonly DamagedObject[],
  persistentVolumes: readonly PersistentVolume[],
): readonly Problem[] {
  if (damaged.length === 0) return [];
  const byVolume = Map.groupBy(persistentVolumes, (one) => one.volumeId);
  return damaged.flatMap(({ name, uid, damage: note }) => {
    const bound = (byVolume.get(volumeId(name, uid)) ?? []).filter(({ phase }) => phase === 'Bound');
    const claims = bound.flatMap(({ claim, claimUid }) =>
      claim === undefined || claimUid === undefined
        ? []
        : [{ apiVersion: 'v1', kind: 'PersistentVolumeClaim', ...claim, uid: claimUid }],
    );
    const itself = { apiVersion: 'bpffs.dev/v1alpha1', kind: 'BpfVolume', name, uid };
    return (claims.length > 0 ? claims : [itself]).map((regarding) => ({ regarding, reason: 'VolumeDamaged', note }));
  });
}
