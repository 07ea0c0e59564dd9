// Checks that the project's version is the same everywhere, and that of the tag if one is given: node check-version.ts [TAG]
import { join } from 'node:path';
import { problemsOf, readVersions } from './versions.ts';

const versions = await readVersions(join(import.meta.dirname, '..'));
const problems = problemsOf(versions, process.argv[2]);
for (const problem of problems) process.stderr.write(`${problem}\n`);
if (problems.length > 0) process.exitCode = 1;
else process.stdout.write(`${versions[0]?.version}\n`);
