import { aborted } from '../errors.ts';

/** One operation at a time on a thing, as CSI has it: a second one is told to come again, not made to wait. */
export interface Lock {
  /** Throws ABORTED while other work holds `thing`, which is called so in the text. */
  run<T>(thing: string, work: () => Promise<T>): Promise<T>;
}

/** A lock for the things of one process. */
export function createLock(): Lock {
  const held = new Set<string>();
  return {
    async run(thing, work) {
      if (held.has(thing)) throw aborted(`another operation on ${thing} is in work; try again`);
      held.add(thing);
      try {
        return await work();
      } finally {
        held.delete(thing);
      }
    },
  };
}
