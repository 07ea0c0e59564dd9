import type { ChildProcess } from 'node:child_process';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import type { LocalNode } from '../../src/cli/local-node.ts';
import { eventually } from '../cluster/eventually.ts';
import { mapProgram } from '../integration/node.ts';

/** Everything that must be gone when all pods have ended. */
export interface Inventory {
  /** In this mount namespace. */
  readonly mounts: number;
  /** In the whole kernel, as a decimal number. */
  readonly maps: string;
  /** Pins of sources, and of maps that the pinner created. */
  readonly pins: readonly string[];
  /** Targets, mounted or not. */
  readonly directories: readonly string[];
  readonly pinnerDescriptors: number;
  readonly nodePluginDescriptors: number;
}

const lines = (text: string) => text.trimEnd().split('\n');

const descriptors = async (process: ChildProcess) => (await readdir(`/proc/${process.pid}/fd`)).length;

/** How many mounts that are attached nowhere a process has open: the path of such a mount's root is /. */
async function detachedMounts(process: ChildProcess): Promise<number> {
  const directory = `/proc/${process.pid}/fd`;
  const paths = (await readdir(directory)).map((descriptor) => readlink(join(directory, descriptor)));
  return (await Promise.all(paths)).filter((path) => path === '/').length;
}

/** Waits until the pinner, which answers first, has closed the volumes that it unmounted. To be called where there are no workspaces. */
export async function pinnerAtRest(node: LocalNode): Promise<void> {
  await eventually('the pinner has only its store open', 60, async () => (await detachedMounts(node.pinner())) === 1);
}

/** Takes it now. */
export async function takeInventory(node: LocalNode): Promise<Inventory> {
  return {
    mounts: lines(await readFile('/proc/self/mountinfo', 'utf8')).length,
    maps: (await execa(mapProgram, ['count'])).stdout,
    pins: [...(await readdir(node.pins)), ...(await readdir(join(node.storeDirectory, 'created')))].sort(),
    directories: lines((await execa('find', [node.kubeletDirectory, '-name', 'mount'])).stdout),
    pinnerDescriptors: await descriptors(node.pinner()),
    nodePluginDescriptors: await descriptors(node.nodePlugin()),
  };
}

/**
 * Takes it once the kernel has freed the maps whose last reference is gone, which takes a moment, and once whatever else made maps on this
 * machine meanwhile has removed them.
 */
export async function settledInventory(node: LocalNode, maps: string): Promise<Inventory> {
  await eventually(`the kernel has ${maps} maps again`, 300, async () => (await takeInventory(node)).maps === maps);
  return { ...(await takeInventory(node)), maps };
}
