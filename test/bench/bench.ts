// Measures the driver on this machine, and writes what it found into docs/scale.md and dist/bench.json.
//
//   make bench [BENCH=--quick]
//
// Each figure stands beside its floor from the same run: an empty call of the same server, or the same system calls in a bare
// loop. Machines differ and are noisy; compare the ratios. --quick measures less often, and writes nothing.
import { writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { warmUp, withNode } from './bench-node.ts';
import { writeGeneratedPart } from './generated-part.ts';
import { measureCalls } from './measure-calls.ts';
import { MAP_COUNTS, measureMaps } from './measure-maps.ts';
import { measurePinner } from './measure-pinner.ts';
import { measurePresent } from './measure-present.ts';
import { measureProcesses } from './measure-processes.ts';
import { type Measured, report } from './report.ts';
import { MAPS } from './shape.ts';

const isQuick = process.argv.includes('--quick');
const effort = isQuick ? { rounds: 3, calls: 64 } : { rounds: 5, calls: 320 };
const warm = isQuick ? 1000 : 3000;
const publishes = isQuick ? 2000 : 10_000;
const step = (what: string) => process.stderr.write(`measuring ${what}\n`);

step('start, memory and CPU');
const processes = await withNode(MAPS, (node) => measureProcesses(node, { starts: isQuick ? 5 : 20, publishes }));
const measured: Measured = await withNode(Math.max(...MAP_COUNTS), async (node) => {
  step('warm-up');
  await warmUp(node, warm);
  step('calls');
  const calls = await measureCalls(node, effort);
  step('other volumes');
  const present = await measurePresent(node, effort);
  step('the pinner');
  const pinner = await measurePinner(node, { ...effort, calls: effort.calls * 4 });
  step('maps');
  const maps = await measureMaps(node, { ...effort, calls: effort.calls / 4 });
  return { cores: cpus().length, publishes, calls, present, pinner, maps, processes };
});
const markdown = report(measured);
process.stdout.write(`${markdown}\n`);
if (!isQuick) {
  await writeGeneratedPart('bench', markdown);
  await writeFile('dist/bench.json', `${JSON.stringify(measured, null, 2)}\n`);
}
