/** A line of a table: a value for each column. */
export type Row = Readonly<Record<string, string | number>>;

/** Columns in the order of the first row; numbers aligned right, words left. */
export function table(rows: readonly Row[]): string {
  const columns = Object.keys(rows[0] ?? {});
  const width = (column: string) => Math.max(column.length, ...rows.map((row) => String(row[column]).length));
  const widths = new Map(columns.map((column) => [column, width(column)]));
  const isNumber = (column: string) => /^[\d.]+( ×)?$/.test(String(rows[0]?.[column]));
  const line = (cell: (column: string) => string) =>
    columns
      .map((column) => {
        const text = cell(column);
        return isNumber(column) ? text.padStart(widths.get(column) ?? 0) : text.padEnd(widths.get(column) ?? 0);
      })
      .join('  ')
      .trimEnd();
  return [line((column) => column), ...rows.map((row) => line((column) => String(row[column])))].join('\n');
}
