/** "1.5 MiB". */
export function bytes(n: number): string {
  const power = Math.min(4, Math.floor(Math.log2(Math.max(1, n)) / 10));
  const scaled = n / 1024 ** power;
  return `${power === 0 || scaled >= 100 ? Math.round(scaled) : Number(scaled.toFixed(1))} ${['B', 'KiB', 'MiB', 'GiB', 'TiB'][power]}`;
}

/** "65,536". */
export const number = (n: number): string => n.toLocaleString('en');

/** "1 pod", "2 pods". */
export const counted = (n: number, noun: string): string => `${number(n)} ${noun}${n === 1 ? '' : 's'}`;

/** "2026-11-26 16:04:09 UTC", from RFC 3339 in UTC; anything else as it is. */
export const moment = (time: string): string =>
  time.replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?Z$/, '$1 $2 UTC');

/** "a, b and 3 more". */
export function few(texts: readonly string[], most = 4): string {
  const [shown, more] = [texts.slice(0, most), texts.length - most];
  return more > 0 ? `${shown.join(', ')} and ${number(more)} more` : shown.join(', ');
}
