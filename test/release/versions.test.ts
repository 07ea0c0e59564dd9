import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { execa } from 'execa';
import packageJson from '../../package.json' with { type: 'json' };
import { problemsOf, readVersions, writeVersion } from '../../scripts/versions.ts';

const ROOT = join(import.meta.dirname, '../..');
const { version } = packageJson;
const directories: string[] = [];
after(() => Promise.all(directories.map((directory) => rm(directory, { recursive: true }))));

/** A copy of all files that have the version. */
async function copy(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'versions-'));
  directories.push(directory);
  const files = new Set((await readVersions(ROOT)).map(({ where }) => where.split(':')[0] ?? ''));
  assert.equal(files.size, 23);
  for (const file of files) await cp(join(ROOT, file), join(directory, file), { recursive: true });
  return directory;
}

test('the version is the same everywhere', async () => {
  const found = await readVersions(ROOT);
  assert.deepEqual(problemsOf(found, `v${version}`), []);
  // Some files have it more than once.
  assert.equal(found.length, 37);
});

test('a version that is set is set everywhere, and CHANGELOG.md is left to a person', async () => {
  const directory = await copy();
  await writeVersion(directory, '12.34.56-rc.1');
  assert.deepEqual(problemsOf(await readVersions(directory)), [
    `CHANGELOG.md: newest section with a version is ${version}, not 12.34.56-rc.1`,
  ]);
  await assert.rejects(writeVersion(directory, 'v1.0.0'), /^Error: v1\.0\.0: not a semantic version$/);
});

test('each place that differs is named', async () => {
  for (const { where } of (await readVersions(ROOT)).slice(1)) {
    const found = (await readVersions(ROOT)).map((one) => (one.where === where ? { where, version: '9.9.9' } : one));
    assert.deepEqual([...new Set(problemsOf(found))], [`${where} is 9.9.9, not ${version}`]);
  }
});

test('a file without a version is named', async () => {
  const directory = await copy();
  const path = join(directory, 'Dockerfile');
  await writeFile(path, (await readFile(path, 'utf8')).replace('ARG VERSION=', 'ARG REVISION='));
  await assert.rejects(readVersions(directory), /^Error: Dockerfile: ARG VERSION: no version found$/);
});

test('check-version.ts accepts the tag of the version, and no other', async () => {
  const check = (tag: string) =>
    execa(process.execPath, [join(ROOT, 'scripts/check-version.ts'), tag], { reject: false });
  assert.equal((await check(`v${version}`)).stdout, version);
  const { exitCode, stderr } = await check('v9.9.9');
  assert.equal(exitCode, 1);
  assert.equal(stderr, `the tag is v9.9.9, but package.json: version is ${version}`);
});
