import { stringify } from 'yaml';
import { visible } from '../text.ts';
import type { Unanswered } from './ask-nodes.ts';

export const FORMATS = ['table', 'wide', 'json', 'yaml'] as const;
export type Format = (typeof FORMATS)[number];

/** A column of a table; `wide`: only with -o wide. */
export interface Column<T> {
  readonly title: string;
  readonly wide?: boolean;
  cell(row: T): string | number;
}

/** What a command has found. */
export interface Found<T> {
  readonly items: readonly T[];
  readonly columns: readonly Column<T>[];
  /** In place of an empty table. */
  readonly none: string;
  readonly unanswered: readonly Unanswered[];
}

/**
 * As kubectl writes it: a table, with names as they are but invisible characters escaped; or the items and the nodes that did not answer as
 * JSON or YAML.
 */
export function format<T>({ items, columns, none, unanswered }: Found<T>, format: Format): string {
  if (format === 'json') return `${JSON.stringify({ items, unanswered }, null, 2)}\n`;
  if (format === 'yaml') return stringify({ items, unanswered });
  if (items.length === 0) return `${none}\n`;
  const shown = columns.filter(({ wide }) => format === 'wide' || wide !== true);
  return table([
    shown.map(({ title }) => title),
    ...items.map((item) => shown.map(({ cell }) => visible(`${cell(item)}`))),
  ]);
}

/** Columns are separated by three spaces, as in kubectl. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('   ')
          .trimEnd()}\n`,
    )
    .join('');
}

/** From a time to `now`, as kubectl shows ages: "45s", "12m", "3h20m", "5d"; "-" for no time. */
export function age(time: string | null, now: number): string {
  const seconds = Math.floor((now - Date.parse(time ?? '')) / 1000);
  if (Number.isNaN(seconds)) return '-';
  if (seconds < 120) return `${Math.max(0, seconds)}s`;
  const [minutes, hours, days] = [Math.floor(seconds / 60), Math.floor(seconds / 3600), Math.floor(seconds / 86400)];
  if (minutes < 180) return `${minutes}m`;
  if (hours < 8 && minutes % 60 > 0) return `${hours}h${minutes % 60}m`;
  return hours < 48 ? `${hours}h` : `${days}d`;
}

/** "640 KiB", "1.5 GiB". */
export function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let [value, unit] = [count, 0];
  while (value >= 1024 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${value < 10 && unit > 0 ? Math.round(value * 10) / 10 : Math.round(value)} ${units[unit]}`;
}
