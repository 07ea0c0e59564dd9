import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CheckReport } from '../../inspection/reports.ts';

/** Where this version's profile is below the installation directory: in the image, and where it is built. */
const PLACES = ['seccomp/bpf-consumer.json', 'deploy/seccomp/bpf-consumer.json'];

/** Whether the seccomp profile `installed` on the node is that of this version, byte for byte. `root`: the installation directory. */
export async function seccompCheck(installed: string, root: string): Promise<CheckReport> {
  const what = 'seccomp profile';
  const found = await read(installed);
  if (found === undefined) {
    return {
      state: 'warn',
      what,
      found: `${installed} cannot be read: pods that name it do not start; delete this node's pod of the driver, and the next one installs it`,
    };
  }
  const copies = await Promise.all(PLACES.map((place) => read(join(root, place))));
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
