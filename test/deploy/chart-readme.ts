import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isMap, parse, parseDocument, type YAMLMap } from 'yaml';
import { CHART } from './helm.ts';

export const README = join(CHART, 'README.md');

/** What README should contain: the values with their defaults and comments. Throws if a value has no comment. */
export async function chartReadme(): Promise<string> {
  const chart = parse(await readFile(join(CHART, 'Chart.yaml'), 'utf8'));
  const values = await readFile(join(CHART, 'values.yaml'), 'utf8');
  const docs = `${chart.home}/blob/main/docs`;
  return `<!-- Made from Chart.yaml and values.yaml by \`make manifests\`. -->
# ${chart.name}
${chart.description}. It needs Kubernetes ${chart.kubeVersion.replace(/^>=|\.0-0$/g, '')} or newer.

- [Install](${docs}/install.md), with the image and what the nodes need
- [Upgrade and uninstall](${docs}/upgrade.md): Helm does not upgrade the CRDs
- [Define a map and grant it](${docs}/grant.md)

## Values
${TABLE}${[...describe(parseDocument(values).contents as YAMLMap.Parsed, values)].map(row).join('')}`;
}

/** A value, or a map of values that has a comment of its own. */
interface Described {
  readonly name: string;
  /** As written in values.yaml. Undefined for a map of values. */
  readonly source: string | undefined;
  readonly text: string;
  /** Of the table that begins here. */
  readonly heading: string | undefined;
}

/** Begins a comment that is the heading of a further table. */
const HEADING = '---- ';
const TABLE = '| Value | Default | Description |\n|---|---|---|\n';

/** Maps in braces are values themselves. */
function* describe(map: YAMLMap.Parsed, yaml: string, path = ''): Generator<Described> {
  for (const [index, { key, value }] of map.items.entries()) {
    const values = isMap(value) && !value.flow ? (value as YAMLMap.Parsed) : undefined;
    const name = `${path}${yaml.slice(key.range[0], key.range[1])}`;
    // The parser gives a comment before the first key to the map.
    const before = (index === 0 ? map.commentBefore : undefined) ?? key.commentBefore ?? '';
    const after = values === undefined ? (value?.comment ?? '') : '';
    const lines = `${before}\n${after}`.split('\n').map((line) => line.trim());
    const heading = lines.find((line) => line.startsWith(HEADING));
    const text = lines.filter((line) => line !== '' && line !== heading).join(' ');
    if (values === undefined && text === '') throw new Error(`values.yaml: ${name} has no comment`);
    const source = values === undefined && value !== null ? yaml.slice(value.range[0], value.range[1]) : undefined;
    yield { name, source, text, heading: heading?.slice(HEADING.length) };
    if (values !== undefined) yield* describe(values, yaml, `${name}.`);
  }
}

function row({ name, source, text, heading }: Described): string {
  const table = heading === undefined ? '' : `\n### ${heading}\n${TABLE}`;
  const code = source === undefined ? '' : `\`${source.replace(/\s+/g, ' ')}\``;
  return text === '' ? table : `${table}| \`${name}\` | ${code} | ${text.replaceAll('|', '\\|')} |\n`;
}
