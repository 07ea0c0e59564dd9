// Prints what CHANGELOG.md says of a version: node release-notes.ts VERSION
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { notesOf } from './changelog.ts';

const changelog = await readFile(join(import.meta.dirname, '../CHANGELOG.md'), 'utf8');
try {
  process.stdout.write(`${notesOf(changelog, process.argv[2] ?? '')}\n`);
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
