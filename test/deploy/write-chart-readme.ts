// Writes deploy/chart/README.md.
import { writeFile } from 'node:fs/promises';
import { chartReadme, README } from './chart-readme.ts';

await writeFile(README, await chartReadme());
