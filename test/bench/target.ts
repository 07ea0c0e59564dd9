import type { Row } from './markdown-table.ts';

/** What is aimed for. Those without a unit are ratios. */
export const TARGETS = {
  publishOfEmpty: 1.4,
  unpublishOfEmpty: 1.3,
  republishOfEmpty: 1.15,
  pinnerOfBare: 3,
  presentOfNone: 1.05,
  nodePluginMebibytes: 100,
  pinnerMebibytes: 8,
} as const;

/** The columns that say what is aimed for, and whether `value`, with as many digits as the table shows, is at most that. */
export function atMost(value: number, target: number): Row {
  return { target: `≤ ${target}`, met: Math.round(value * 100) / 100 <= target ? 'yes' : 'no' };
}

/** The columns for a value that is to be larger than `target`. */
export function moreThan(value: number, target: number): Row {
  return { target: `> ${target}`, met: Math.round(value * 100) / 100 > target ? 'yes' : 'no' };
}

/** How many targets there are in `rows`, and how many of them are met. */
export function countMet(rows: readonly Row[]): { readonly met: number; readonly all: number } {
  const judged = rows.filter(({ met }) => met !== undefined);
  return { met: judged.filter(({ met }) => met === 'yes').length, all: judged.length };
}
