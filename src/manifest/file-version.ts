import type { BigIntStats } from 'node:fs';

/** Another text for another file, or another content, at the same path. Undefined: there is none. */
export function fileVersion(stat: BigIntStats | undefined): string {
  if (stat === undefined) return 'absent';
  const { dev, ino, size, mtimeNs, ctimeNs } = stat;
  return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`;
}
