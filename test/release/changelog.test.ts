import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { execa } from 'execa';
import packageJson from '../../package.json' with { type: 'json' };
import { notesOf } from '../../scripts/changelog.ts';

const CHANGELOG =
  '# Changelog\n\n## Unreleased\n\n## 1.10.0\nMore.\n\n### Added\n- a thing\n  of two lines\n  - a part\n- another\n\n## 1.1.0\nThe first.\n';

test('the notes of a version are its section, and nothing of others', () => {
  assert.equal(notesOf(CHANGELOG, '1.10.0'), 'More.\n\n### Added\n- a thing of two lines\n  - a part\n- another');
  assert.equal(notesOf(CHANGELOG, '1.1.0'), 'The first.');
});

test('a version without notes is named', () => {
  assert.throws(() => notesOf(CHANGELOG, '1.1'), { message: 'CHANGELOG.md has no section "## 1.1"' });
  assert.throws(() => notesOf(CHANGELOG, ''), { message: 'CHANGELOG.md has no section "## "' });
  assert.throws(() => notesOf(CHANGELOG, 'Unreleased'), { message: 'CHANGELOG.md says nothing of Unreleased' });
});

test('release-notes.ts prints the notes of this version', async () => {
  const script = join(import.meta.dirname, '../../scripts/release-notes.ts');
  const { stdout } = await execa(process.execPath, [script, packageJson.version]);
  assert.match(stdout, /^- /m);
  const failed = await execa(process.execPath, [script, '0.0.1'], { reject: false });
  assert.deepEqual([failed.exitCode, failed.stdout], [1, '']);
  assert.equal(failed.stderr, 'CHANGELOG.md has no section "## 0.0.1"');
});
