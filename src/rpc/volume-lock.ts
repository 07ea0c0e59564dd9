import { aborted } from '../errors.ts';

/** One operation per volume at a time, as CSI has it: a second one is told to come again, not made to wait. */
export interface VolumeLock {
  /** Throws ABORTED while other work holds `volumeId`. */
  run<T>(volumeId: string, work: () => Promise<T>): Promise<T>;
}

/** A lock for the volumes of one process. */
export function createVolumeLock(): VolumeLock {
  const held = new Set<string>();
  return {
    async run(volumeId, work) {
      if (held.has(volumeId)) throw aborted(`another operation on volume ${volumeId} is in work; try again`);
      held.add(volumeId);
      try {
        return await work();
      } finally {
        held.delete(volumeId);
      }
    },
  };
}
