import { aborted } from '../errors.ts';

/** Allows one operation at a time on a thing. As CSI recommends, a second one does not wait but fails. */
export interface Lock {
  /** Throws ABORTED while another operation holds `thing`, which is its name in the error. */
  run<T>(thing: string, work: () => Promise<T>): Promise<T>;
}

/** Works within one process. */
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
