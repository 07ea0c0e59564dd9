// Writes a version everywhere, except to CHANGELOG.md: node set-version.ts VERSION
import { join } from 'node:path';
import { writeVersion } from './versions.ts';

await writeVersion(join(import.meta.dirname, '..'), process.argv[2] ?? '');
