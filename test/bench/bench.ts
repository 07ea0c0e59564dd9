// Measures the driver on this machine and prints tables; the same numbers go to dist/bench.json.
//
//   make bench [BENCH=--quick]
//
// Each figure stands beside its floor from the same run: an empty call of the same server, or the same system calls in a bare
// loop. Machines differ and are noisy; compare the ratios.
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { type LocalNode, startLocalNode } from '../../src/cli/local-node.ts';
import { catalog, GRANTS } from './catalog.ts';
import { measureMemory, measureStart } from './process.ts';
import { type Row, table } from './table.ts';

const root = process.cwd();
const isQuick = process.argv.includes('--quick');
const PAIRS = isQuick ? 400 : 1500;
const MAPS = isQuick ? [2] : [1, 2, 4, 32];
const CALLERS = [1, 8, 32];
const ACCESS = ['ro', 'rw'] as const;
const PRESENT = isQuick ? [0, 1000] : [0, 100, 1000];

type Access = (typeof ACCESS)[number];

/** Latencies of one kind of call, in microseconds. */
interface Calls {
  readonly p50_us: number;
  readonly p90_us: number;
  readonly p99_us: number;
  readonly per_second: number;
}
type Measured<Kind extends string> = { readonly calls: Readonly<Record<Kind, Calls>> };

const results: Record<string, readonly Row[]> = {};

function report(title: string, rows: readonly Row[]): void {
  results[title] = rows;
  process.stdout.write(`\n${title}\n${table(rows)}\n`);
}

const micros = (value: number) => Math.round(value);
const times = (value: number, floor: number) => `${(value / floor).toFixed(2)} ×`;
const timing = (calls: Calls) => ({
  p50: micros(calls.p50_us),
  p90: micros(calls.p90_us),
  p99: micros(calls.p99_us),
  'per s': micros(calls.per_second),
});

function mapList(maps: number, access: Access): string {
  return Array.from({ length: maps }, (_, map) => `map${map}${access === 'rw' ? ':rw' : ''}`).join(', ');
}

/** Pins maps map0, map1 … on this node. */
async function createMaps(node: LocalNode, maps: number): Promise<void> {
  const program = join(root, 'dist', 'map');
  for (let map = 0; map < maps; map++) await execa(program, ['create', join(node.pins, `map${map}`)]);
}

async function load<Kind extends string>(node: LocalNode, args: readonly string[]): Promise<Measured<Kind>> {
  const target = ['--target-dir', join(node.kubeletDirectory, 'pods')];
  const { stdout } = await execa(join(root, 'test/bench/bin/load'), [
    ...['--socket', node.csiSocket, '--json'],
    ...(args.includes('empty') ? [] : target),
    ...args,
  ]);
  return JSON.parse(stdout) as Measured<Kind>;
}

async function floor<Kind extends string>(node: LocalNode, args: readonly string[]): Promise<Measured<Kind>> {
  const { stdout } = await execa(await floorProgram(), [
    ...args,
    ...['--socket', node.pinnerSocket, '--kubelet-dir', node.kubeletDirectory, '--pins', node.pins],
  ]);
  return JSON.parse(stdout) as Measured<Kind>;
}

/** cargo appends a hash to the name of the program. */
async function floorProgram(): Promise<string> {
  const directory = process.env.FLOOR_DIRECTORY ?? '';
  const name = (await readdir(directory)).find((file) => /^floor-[0-9a-f]+$/.test(file));
  if (name === undefined) throw new Error(`no floor program in ${directory}: run make bench`);
  return join(directory, name);
}

async function measurePinner(node: LocalNode): Promise<void> {
  const rows: Row[] = [];
  for (const maps of MAPS) {
    for (const access of ACCESS) {
      for (const callers of CALLERS) {
        const writable = access === 'rw' ? maps : 0;
        const args = [
          '--maps',
          `${maps}`,
          '--writable',
          `${writable}`,
          '--callers',
          `${callers}`,
          '--count',
          `${PAIRS}`,
        ];
        const bare = await floor<'publish' | 'unpublish'>(node, ['bare', ...args]);
        const rpc = await floor<'publish' | 'unpublish'>(node, ['rpc', ...args]);
        // Callers of the bare loop may have to wait for each other in the kernel in one half of a pair: compare whole pairs.
        const pair = ({ calls }: typeof bare) => calls.publish.p50_us + calls.unpublish.p50_us;
        for (const kind of ['publish', 'unpublish'] as const) {
          rows.push({
            call: kind,
            maps,
            access,
            callers,
            bare: micros(bare.calls[kind].p50_us),
            ...timing(rpc.calls[kind]),
            'of bare': times(rpc.calls[kind].p50_us, bare.calls[kind].p50_us),
            'pair of bare': times(pair(rpc), pair(bare)),
          });
        }
      }
    }
  }
  report('Pinner: RPC on a kept connection beside the bare system calls (µs)', rows);
}

async function measureNodePlugin(node: LocalNode, maps: number, access: Access, rows: Row[]): Promise<void> {
  for (const connection of ['kept', 'new']) {
    for (const callers of CALLERS) {
      const shape = ['--connection', connection, '--callers', `${callers}`, '--count', `${PAIRS}`];
      const empty = await load<'empty'>(node, ['--call', 'empty', ...shape]);
      const pairs = await load<'publish' | 'unpublish'>(node, ['--context', `maps=${mapList(maps, access)}`, ...shape]);
      for (const kind of ['publish', 'unpublish'] as const) {
        rows.push({
          call: kind,
          maps,
          access,
          connection,
          callers,
          empty: micros(empty.calls.empty.p50_us),
          ...timing(pairs.calls[kind]),
          'of empty': times(pairs.calls[kind].p50_us, empty.calls.empty.p50_us),
        });
      }
    }
  }
}

async function measurePresent(node: LocalNode): Promise<void> {
  const rows: Row[] = [];
  const baseline = new Map<string, number>();
  const context = ['--context', `maps=${mapList(2, 'ro')}`];
  for (const present of PRESENT) {
    if (present > 0) await load(node, [...context, '--leave', `${present}`, '--callers', '8']);
    for (const callers of [1, 8]) {
      const shape = ['--connection', 'new', '--callers', `${callers}`, '--count', `${PAIRS}`];
      const { calls } = await load<'publish' | 'unpublish'>(node, [...context, ...shape]);
      for (const kind of ['publish', 'unpublish'] as const) {
        const key = `${kind} ${callers}`;
        if (!baseline.has(key)) baseline.set(key, calls[kind].p50_us);
        const none = baseline.get(key) ?? 1;
        rows.push({ call: kind, callers, present, ...timing(calls[kind]), 'of none': times(calls[kind].p50_us, none) });
      }
    }
    if (present > 0) await load(node, [...context, '--remove', `${present}`, '--callers', '8']);
  }
  report('Volumes present: 2 maps, new connection per call (µs)', rows);
}

/** Runs a node in its own directory on a tmpfs, so that no disk is measured. */
async function withNode(maps: number, measure: (node: LocalNode, directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp('/dev/shm/csi-driver-bpffs-bench-');
  try {
    const node = await startLocalNode({ root, directory, catalog: catalog(maps), grants: GRANTS });
    try {
      await node.ready();
      await createMaps(node, maps);
      await measure(node, directory);
    } finally {
      await node.stop();
      await execa('umount', [node.storeDirectory, node.pins], { reject: false });
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

await withNode(2, async (node) => {
  report('Start to first answer (ms)', await measureStart(node, isQuick ? 5 : 20));
});
await withNode(2, async (node) => {
  const publish = () =>
    load(node, ['--context', `maps=${mapList(2, 'ro')}`, '--connection', 'new', '--callers', '8', '--count', '10000']);
  report('Resident memory (MiB)', await measureMemory(node, publish));
});
await withNode(32, async (node) => {
  await measurePinner(node);
  const rows: Row[] = [];
  for (const maps of MAPS) {
    for (const access of ACCESS) await measureNodePlugin(node, maps, access, rows);
  }
  report('Node plugin and pinner beside an empty call of the same server (µs)', rows);
  await measurePresent(node);
});
await writeFile(join(root, 'dist', 'bench.json'), `${JSON.stringify(results, null, 2)}\n`);
process.stdout.write('\nAlso in dist/bench.json.\n');
