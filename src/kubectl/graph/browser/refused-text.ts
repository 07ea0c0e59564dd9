import type { Refused } from '../graph.ts';
import { moment, number } from './format.ts';

/** "write refused (grant), 12 times, last 2026-11-26 16:04:09 UTC: message". */
export function refusedText({ verb, reason, message, count, last }: Refused): string {
  const times = count === null ? [] : [count === 1 ? 'once' : `${number(count)} times`];
  const when = last === null ? [] : [`last ${moment(last)}`];
  return `${[`${verb ?? 'access'} refused (${reason})`, ...times, ...when].join(', ')}: ${message}`;
}
