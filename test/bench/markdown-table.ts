/** A line of a table: a value for each column. */
export type Row = Readonly<Record<string, string | number>>;

/** A table in Markdown, with the columns of the first row. Numbers are aligned right, and have as many digits as they deserve. */
export function markdownTable(rows: readonly Row[]): string {
  const columns = Object.keys(rows[0] ?? {});
  const isNumber = (column: string) => typeof rows[0]?.[column] === 'number';
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [
    line(columns),
    `|${columns.map((column) => (isNumber(column) ? '--:' : '---')).join('|')}|`,
    ...rows.map((row) => line(columns.map((column) => cell(row[column] ?? '')))),
  ].join('\n');
}

function cell(value: string | number): string {
  if (typeof value === 'string') return value.replaceAll('|', '\\|');
  return value.toLocaleString('en', { maximumFractionDigits: value < 10 ? 2 : value < 100 ? 1 : 0 });
}
