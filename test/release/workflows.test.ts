import assert from 'node:assert/strict';
import { glob, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { execa } from 'execa';
import { parse } from 'yaml';

const ROOT = join(import.meta.dirname, '../..');
const read = (path: string) => readFile(join(ROOT, path), 'utf8');

const files = new Map<string, string>();
for await (const file of glob('.github/{workflows,actions}/**/*.yml', { cwd: ROOT })) files.set(file, await read(file));

/** The goals of every line `make …` in a text. */
function goalsIn(text: string): readonly string[] {
  return Array.from(text.matchAll(/^ *(?:- run: )?make ([\w -]+)$/gm), ([, goals = '']) => goals.split(' ')).flat();
}

test('ci.yml runs every suite of .ci/run', async () => {
  const { matrix } = parse(files.get('.github/workflows/ci.yml') ?? '').jobs.suites.strategy;
  const included: readonly { readonly suites: string }[] = matrix.include;
  const suites: readonly string[] = [...matrix.suites, ...included.map((one) => one.suites)];
  const goals = goalsIn(await read('.ci/run'));
  assert(goals.length > 5);
  assert.deepEqual(suites.flatMap((suite) => suite.split(' ')).toSorted(), goals.toSorted());
});

test('the workflows make only what the Makefile has', async () => {
  const goals = [...files.values()].flatMap(goalsIn);
  assert.deepEqual(new Set(goals), new Set(['release-files', 'kubectl-all', 'kubectl-archives']));
  const makefile = await read('Makefile');
  for (const goal of goals) assert(makefile.includes(`\n${goal}: `), goal);
});

test('every action is one commit, and a comment says which version', () => {
  const used = [...files].flatMap(([file, text]) =>
    Array.from(text.matchAll(/\buses: (.*)/g), ([, action = '']) => ({ file, action })),
  );
  const foreign = used.filter(({ action }) => !action.startsWith('./'));
  assert(foreign.length > 10);
  for (const { file, action } of foreign) assert.match(action, /^[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/, file);
});

test('every workflow limits its rights, and every job its time', () => {
  for (const [file, text] of files) {
    if (!file.includes('/workflows/')) continue;
    const { permissions, jobs } = parse(text);
    assert.notEqual(permissions, undefined, file);
    for (const [name, job] of Object.entries<{ uses?: string; 'timeout-minutes'?: number }>(jobs))
      assert(job.uses !== undefined || job['timeout-minutes'] !== undefined, `${file}: ${name} has no timeout`);
  }
});

test('dependabot.yml has every folder with dependencies', async () => {
  const ecosystems: Readonly<Record<string, string>> = { npm: 'package.json', cargo: 'Cargo.toml', gomod: 'go.mod' };
  const { stdout } = await execa('git', ['ls-files'], { cwd: ROOT });
  const tracked = stdout.split('\n');
  const { updates } = parse(await read('.github/dependabot.yml'));
  for (const [ecosystem, manifest] of Object.entries(ecosystems)) {
    const update = updates.find((one: { 'package-ecosystem': string }) => one['package-ecosystem'] === ecosystem);
    const folders = tracked
      .filter((file) => `/${file}`.endsWith(`/${manifest}`))
      .map((file) => `/${file.slice(0, -manifest.length - 1)}`);
    assert.deepEqual((update.directories ?? [update.directory]).toSorted(), folders.toSorted(), ecosystem);
  }
});
