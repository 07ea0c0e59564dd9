// Measures what the driver costs the API server, for several numbers of nodes, and writes it into docs/scale.md.
//
//   make bench-cluster [BENCH_NODES=1,10,100,300] [BENCH_SECONDS=30]
//
// API server, etcd and nodes are on this machine. Nodes run the code of the node plugin in this process, and have no kubelet and no kernel.
import { writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { writeGeneratedPart } from '../generated-part.ts';
import { LEASE } from './controller.ts';
import { makePods } from './fleet.ts';
import { type Measured, measure } from './measure.ts';
import { measureNodeMemory } from './node-memory.ts';
import { report } from './report.ts';
import { startSurroundings } from './surroundings.ts';

const DOCS = join(import.meta.dirname, '../../../docs');
const { BENCH_NODES = '1,10,100', BENCH_SECONDS = '30' } = process.env;
const sizes = BENCH_NODES.split(',').map(Number);
const steadySeconds = Number(BENCH_SECONDS);
if (!sizes.every((size) => Number.isInteger(size) && size > 0) || !(steadySeconds > 0)) {
  process.stderr.write('BENCH_NODES is a list like 1,10,100, and BENCH_SECONDS a number\n');
  process.exit(64);
}
const firstSeconds = 15;
const step = (what: string) => process.stderr.write(`${what}\n`);

await using stack = new AsyncDisposableStack();
const { api, pinner, controller } = await startSurroundings(stack);
step(`making the pods of ${Math.max(...sizes)} nodes`);
const pods = await makePods(api, Math.max(...sizes));
await controller.settled();
const measured: Measured[] = [];
for (const [index, size] of sizes.entries()) {
  step(`measuring ${size} nodes`);
  const options = { api, lease: LEASE, pinner, firstSeconds, steadySeconds, withdraws: index === sizes.length - 1 };
  measured.push(await measure(pods.slice(0, size), options));
}
step('measuring a node plugin');
const memory = await measureNodeMemory(api, { maps: 1000, volumes: 5000 });
const { gitVersion: version } = JSON.parse(await api.kubectl(['get', '--raw=/version'])) as { gitVersion: string };
const { markdown, svg } = report({ cores: cpus().length, version, firstSeconds, steadySeconds }, measured, memory);
process.stdout.write(`${markdown}\n`);
const picture = '![CPU of the API server for each number of nodes](scale.svg)';
await writeGeneratedPart('bench-cluster', `${markdown}\n\n${picture}`);
await writeFile(join(DOCS, 'scale.svg'), svg);
