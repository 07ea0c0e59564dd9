import type { BigIntStats } from 'node:fs';

/** A text that changes when the file at a path is replaced or its content changes. `stat`: undefined if there is no file. */
export function fileVersion(stat: BigIntStats | undefined): string {
  if (stat === undefined) return 'absent';
  const { dev, ino, size, mtimeNs, ctimeNs } = stat;
  return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`;
}
