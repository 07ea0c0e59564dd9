import { join, resolve } from 'node:path';
import type { Cluster } from '../cluster/cluster.ts';

const MAP = join(import.meta.dirname, '../../dist/map');

/** Maps pinned on the node, by path relative to /sys/fs/bpf: hashes of a u32 to a u64. */
export interface NodeMaps {
  /** Creates and pins a map, with parent directories; atomically replaces what was pinned there. */
  create(path: string, entries?: Readonly<Record<number, number>>): Promise<void>;
  write(path: string, key: number, value: number): Promise<void>;
  /** The entries in ascending order: `1=10 7=42`. */
  read(path: string): Promise<string>;
  /** Removes a pin, or a directory with everything in it. */
  remove(path: string): Promise<void>;
  /** The number of maps in this kernel, whoever created them. */
  count(): Promise<number>;
}

export function nodeMaps(cluster: Pick<Cluster, 'run'>): NodeMaps {
  const at = (path: string) => resolve('/sys/fs/bpf', path);
  const map = (...args: string[]) => cluster.run(MAP, ...args);
  return {
    async create(path, entries = {}) {
      const fresh = `${at(path)}-new`;
      await cluster.run('mkdir', '--parents', join(at(path), '..'));
      await map('create', fresh);
      for (const [key, value] of Object.entries(entries)) await map('write', fresh, key, `${value}`);
      await cluster.run('mv', fresh, at(path));
    },
    async write(path, key, value) {
      await map('write', at(path), `${key}`, `${value}`);
    },
    read: async (path) => sortEntries(await map('read', at(path))),
    async remove(path) {
      await cluster.run('rm', '--recursive', '--force', at(path));
    },
    count: async () => Number(await map('count')),
  };
}

/** The output of `map read` as one line, sorted: the kernel's order is arbitrary. */
export function sortEntries(text: string): string {
  const entries = text.split('\n').filter((line) => line !== '');
  return entries.toSorted((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10)).join(' ');
}
