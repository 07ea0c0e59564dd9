// Measures how long many pods take until all are Running: with an emptyDir, with the least driver that there can be (../bind), and with two
// maps of this driver. Writes the result into docs/scale.md.
//
//   make bench-running [BENCH_PODS=100] [BENCH_ROUNDS=3]
//
// The cluster is real (test/cluster), and the driver is installed from chart and image. Nothing else should run on the machine.
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { startCluster } from '../../cluster/cluster.ts';
import { applyDriver } from '../../e2e/driver-cluster.ts';
import { importDriver } from '../../e2e/images.ts';
import { writeGeneratedPart } from '../generated-part.ts';
import { installBindDrivers } from './bind-driver.ts';
import { KINDS, makeSpace } from './kinds.ts';
import { type Measured, measure, rest } from './measure.ts';
import { report } from './report.ts';

const { BENCH_PODS = '100', BENCH_ROUNDS = '3' } = process.env;
const pods = Number(BENCH_PODS);
const rounds = Number(BENCH_ROUNDS);
// The node has 250 addresses for pods.
if (!(Number.isInteger(pods) && pods > 0 && pods <= 200 && Number.isInteger(rounds) && rounds > 0)) {
  process.stderr.write('BENCH_PODS is a number from 1 to 200, and BENCH_ROUNDS a number from 1\n');
  process.exit(64);
}
const step = (what: string) => process.stderr.write(`${what}\n`);

await using stack = new AsyncDisposableStack();
const directory = await mkdtemp(join(tmpdir(), 'csi-driver-bpffs-bench-'));
stack.defer(() => rm(directory, { recursive: true }));
step('starting a cluster');
const cluster = await startCluster(directory, { kubelet: { maxPods: pods + 10 } });
stack.defer(() => cluster.stop());
step('installing the drivers');
await importDriver(cluster);
await applyDriver(cluster);
await installBindDrivers(cluster);
await makeSpace(cluster);
for (const kind of KINDS) await measure(cluster, kind, 1);

const measured: Measured[] = [];
for (let round = 0; round < rounds; round += 1) {
  // Each round begins with another kind.
  for (let turn = 0; turn < KINDS.length; turn += 1) {
    const kind = KINDS[(round + turn) % KINDS.length] as (typeof KINDS)[number];
    await rest(cluster);
    const one = await measure(cluster, kind, pods);
    step(`round ${round + 1}: ${pods} pods with ${kind.name}: ${JSON.stringify(one)}`);
    measured.push(one);
  }
}
const { gitVersion: version } = JSON.parse(await cluster.kubectl('get', '--raw=/version')) as { gitVersion: string };
const markdown = report({ pods, rounds, cores: cpus().length, version }, measured);
process.stdout.write(`${markdown}\n`);
await writeGeneratedPart('bench-running', markdown);
