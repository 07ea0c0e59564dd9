// Writes the CIL modules of deploy/selinux.
import { writeFile } from 'node:fs/promises';
import { modulePath, PROFILES, readProfile, selinuxModule } from './selinux-modules.ts';

for (const name of PROFILES) await writeFile(modulePath(name), selinuxModule(await readProfile(name)));
