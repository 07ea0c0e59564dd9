/** Pseudo-random numbers, reproducible by their seed (mulberry32). */
export interface Random {
  /** 0 ≤ number < 1. */
  next(): number;
  /** True with this probability. */
  chance(probability: number): boolean;
  /** One of the elements; there must be one. */
  pick<T>(from: readonly T[]): T;
  bytes(count: number): Buffer;
}

/** `seed`: any 32-bit number. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    chance: (probability) => next() < probability,
    pick: (from) => from[Math.floor(next() * from.length)] as (typeof from)[number],
    bytes: (count) => Buffer.from(Array.from({ length: count }, () => Math.floor(next() * 256))),
  };
}
