import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { CheckReport } from '../../inspection/reports.ts';

/** Where this version's profiles are below the installation directory: in the image, and where they are built. */
const PLACES = ['seccomp', 'deploy/seccomp'];

/** Installed beside the profile for pods that use maps. */
const FOR_LOADERS = 'bpf-loader.json';

/**
 * Whether the seccomp profiles on the node are those of this version, byte for byte. `installed`: the one for pods that use maps. `root`:
 * the installation directory.
 */
export async function seccompCheck(installed: string, root: string): Promise<CheckReport> {
  const checks = await Promise.all(
    [installed, join(dirname(installed), FOR_LOADERS)].map((profile) => checkOne(profile, root)),
  );
  const found = checks.find(({ state }) => state !== 'ok') ?? checks[0];
  if (found === undefined) throw new TypeError('there are two profiles');
  return found;
}

async function checkOne(installed: string, root: string): Promise<CheckReport> {
  const what = 'seccomp profile';
  const found = await read(installed);
  if (found === undefined) {
    return {
      state: 'warn',
      what,
      found: `${installed} cannot be read: pods that name it do not start; delete this node's pod of the driver, and the next one installs it`,
    };
  }
  const copies = await Promise.all(PLACES.map((place) => read(join(root, place, basename(installed)))));
  const copy = copies.find((one) => one !== undefined);
  if (copy === undefined) {
    return { state: 'warn', what, found: `${root} has no profile to compare it with: take the driver's own image` };
  }
  if (found.equals(copy)) return { state: 'ok', what, found: 'is that of this version' };
  return {
    state: 'warn',
    what,
    found: `${installed} is not that of this version: pods that name it may not call bpf(2), or may call more; delete this node's pod of the driver, and the next one installs it`,
  };
}

async function read(path: string): Promise<Buffer | undefined> {
  return readFile(path).catch(() => undefined);
}
