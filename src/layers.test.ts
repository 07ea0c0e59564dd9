import assert from 'node:assert/strict';
import { glob, readFile } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '..');

/** The folders of src and their rows in the table of CONTRIBUTING.md. Folders in one row do not import each other. */
async function folders(): Promise<ReadonlyMap<string, number>> {
  const text = await readFile(join(root, 'CONTRIBUTING.md'), 'utf8');
  const table = text.slice(text.indexOf('## The folders of src')).split('\n## ')[0] ?? '';
  const rows = [...table.matchAll(/^\| (`[^|]+) \|/gm)].map(([, names = '']) => names.matchAll(/`([a-z]+)\/`/g));
  return new Map(rows.flatMap((names, row) => [...names].map(([, name = '']) => [name, row] as const)));
}

const folderOf = (path: string) => (dirname(path) === 'src' ? undefined : path.split('/')[1]);

test('a folder of src imports only folders below it in the table of CONTRIBUTING.md', async () => {
  const rows = await folders();
  const upwards: string[] = [];
  const found = new Set<string>();
  for await (const path of glob('src/**/*.ts', { cwd: root })) {
    const from = folderOf(path);
    if (from === undefined || path.endsWith('.test.ts')) continue;
    found.add(from);
    const text = await readFile(join(root, path), 'utf8');
    for (const [, imported = ''] of text.matchAll(/(?:from|import\() ?'(\.[^']+)'/g)) {
      const to = folderOf(normalize(join(dirname(path), imported)));
      if (to === undefined || to === from) continue;
      if (!((rows.get(from) ?? Number.NaN) < (rows.get(to) ?? Number.NaN))) upwards.push(`${path} imports ${imported}`);
    }
  }
  assert.deepEqual(upwards, []);
  assert.deepEqual([...found].sort(), [...rows.keys()].sort());
});
