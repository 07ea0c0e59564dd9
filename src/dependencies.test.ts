import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

const read = (path: string) => readFile(join(import.meta.dirname, '..', path), 'utf8');

/** The names in the first column of the table in CONTRIBUTING.md whose head begins with `head`. */
async function listed(head: string): Promise<readonly string[]> {
  const text = await read('CONTRIBUTING.md');
  const table = text.slice(text.indexOf(`| ${head} |`)).split('\n\n')[0] ?? '';
  const rows = table.split('\n').slice(2);
  return rows.flatMap((row) => [...(row.split(' | ')[0] ?? '').matchAll(/`([^`]+)`/g)].map(([, name = '']) => name));
}

test('CONTRIBUTING.md lists the packages of package.json', async () => {
  const { dependencies, devDependencies, optionalDependencies } = JSON.parse(await read('package.json'));
  const all = Object.keys({ ...dependencies, ...devDependencies, ...optionalDependencies });
  assert.deepEqual((await listed('Package')).toSorted(), all.toSorted());
});

test('CONTRIBUTING.md lists the crates of native/Cargo.toml', async () => {
  const sections = (await read('native/Cargo.toml'))
    .split(/^\[/m)
    .filter((section) => /^[a-z-]*dependencies\]/.test(section));
  const all = new Set(
    sections.flatMap((section) => [...section.matchAll(/^([\w-]+) = /gm)].map(([, name = '']) => name)),
  );
  assert.deepEqual((await listed('Crate')).toSorted(), [...all].toSorted());
});
