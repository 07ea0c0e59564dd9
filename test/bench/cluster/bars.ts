/** One bar. */
export interface Bar {
  readonly label: string;
  readonly value: number;
}

const WIDTH = 640;
const ROW = 26;
const LEFT = 150;
const RIGHT = 90;
const TOP = 34;
/** Both contrast with a white and with a black page: an image does not know which one it is on. */
const TEXT = '#767676';
const FILL = '#3b82c4';

/** Horizontal bars as an SVG document, for a light or dark page. The longest bar has the whole width. */
export function bars(title: string, rows: readonly Bar[]): string {
  const max = Math.max(...rows.map(({ value }) => value)) || 1;
  const height = TOP + rows.length * ROW + 6;
  const drawn = rows.map(({ label, value }, index) => {
    const y = TOP + index * ROW;
    const width = Math.round(((WIDTH - LEFT - RIGHT) * value) / max);
    return `  <text x="${LEFT - 8}" y="${y + 14}" text-anchor="end">${escaped(label)}</text>
  <rect x="${LEFT}" y="${y}" width="${width}" height="18" rx="2"/>
  <text x="${LEFT + width + 6}" y="${y + 14}">${value.toLocaleString('en', { maximumFractionDigits: 2 })}</text>
`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escaped(title)}">
  <style>text { font: 13px sans-serif; fill: ${TEXT} } rect { fill: ${FILL} } .title { font-weight: bold }</style>
  <text x="8" y="18" class="title">${escaped(title)}</text>
${drawn.join('')}</svg>
`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
