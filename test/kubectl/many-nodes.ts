// node test/kubectl/many-nodes.ts [NODES]: how long each command takes for so many nodes (1,000), and how much memory. The API server is
// real; the nodes, on the same machine, are simulated, with 20 pods each, which have two maps.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { parse } from 'yaml';
import { startApiServer } from '../apiserver/api-server.ts';
import { eventually } from '../cluster/eventually.ts';
import { BIN } from '../cluster/node.ts';
import { CHART } from '../deploy/helm.ts';
import { file, reports, volume } from './reports.ts';
import { simulateNodes } from './simulated-nodes.ts';

const count = Number(process.argv[2] ?? 1000);
const api = await startApiServer();
const nodes = await simulateNodes(api);
try {
  await api.apply(parse(await readFile(join(CHART, 'crds/bpffs.dev_bpfmaps.yaml'), 'utf8')));
  await eventually('BpfMaps can be made', 30, async () => {
    const spec = { source: { pinned: { path: '/sys/fs/bpf/flows' } } };
    await api.apply({ apiVersion: 'bpffs.dev/v1alpha1', kind: 'BpfMap', metadata: { name: 'flows' }, spec });
    return true;
  });
  const names = Array.from({ length: count }, (_, index) => `node-${String(index).padStart(4, '0')}`);
  const left = names.values();
  const add = async () => {
    for (const name of left) {
      const pods = Array.from({ length: 20 }, (_, pod) =>
        volume(`app-${name}-${pod}`, [file('flows', 1), file('drops', 2)]),
      );
      await nodes.add(name, reports(name, pods));
    }
  };
  await Promise.all(Array.from({ length: 8 }, add));
  const plugin = join(import.meta.dirname, '../../dist/kubectl/kubectl-bpffs.cjs');
  // Makes a process write its maximum resident size, in KiB, as the last line of its errors.
  const measured = "process.on('exit', () => process.stderr.write('\\n' + process.resourceUsage().maxRSS))";
  const commands = [
    ['status'],
    ['top'],
    ['denials'],
    ['who', 'flows', '-o', 'json'],
    ['graph', join(api.directory, 'graph.html')],
  ];
  for (const args of commands) {
    const started = performance.now();
    const { stdout, stderr } = await execa(
      process.execPath,
      [`--import=data:text/javascript,${encodeURIComponent(measured)}`, plugin, ...args],
      {
        env: { PATH: `${BIN}:${process.env.PATH}`, KUBECONFIG: api.kubeconfig },
        maxBuffer: 1 << 30,
        reject: false,
      },
    );
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    const mebibytes = Math.round(Number(stderr.split('\n').at(-1)) / 1024);
    process.stdout.write(`${args[0]?.padEnd(8)} ${seconds} s, ${mebibytes} MiB, ${stdout.length} characters\n`);
    if (stderr.trim().split('\n').length > 1) process.stdout.write(`${stderr.slice(0, 500)}\n`);
  }
  process.stdout.write(`${count} nodes, ${nodes.forwarded()} connections forwarded\n`);
} finally {
  nodes.close();
  await api.stop();
}
process.exit();
