import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { type LocalNode, startLocalNode } from '../../src/cli/local-node.ts';
import { catalog, GRANTS } from './catalog.ts';
import { attribute, counts, type Driver, load } from './load-client.ts';
import { MAPS, mapsAttribute } from './shape.ts';

/** A node with this driver, whose pinned maps are map0, map1 … */
export interface BenchNode extends Driver {
  readonly node: LocalNode;
  /** For files of a measurement. */
  readonly directory: string;
}

/** Runs a node in its own directory on a tmpfs, so that no disk is measured. */
export async function withNode<T>(maps: number, measure: (node: BenchNode) => Promise<T>): Promise<T> {
  const directory = await mkdtemp('/dev/shm/csi-driver-bpffs-bench-');
  try {
    const node = await startLocalNode({ root: process.cwd(), directory, catalog: catalog(maps), grants: GRANTS });
    try {
      await node.ready();
      for (let map = 0; map < maps; map++) await execa('dist/map', ['create', join(node.pins, `map${map}`)]);
      return await measure({ node, directory, socket: node.csiSocket, targets: join(node.kubeletDirectory, 'pods') });
    } finally {
      await node.stop();
      await execa('umount', [node.storeDirectory, node.pins], { reject: false });
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Makes so many pairs, and other calls, that V8 has compiled what they need. */
export async function warmUp(node: BenchNode, pairs: number): Promise<void> {
  for (const access of ['ro', 'rw'] as const) {
    const context = attribute('maps', mapsAttribute(MAPS, access));
    for (const call of ['empty', 'publish', 'republish']) {
      await load(node, ['--call', call, ...context, ...counts(8, pairs)]);
    }
  }
}
