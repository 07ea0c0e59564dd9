import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { VolumesReport } from '../inspection/reports.ts';
import { createMemorySum } from './top.ts';

const map = (id: number) => ({
  ...{ id, name: 'flows', type: 'hash', keySize: 4, valueSize: 8, maxEntries: 1, flags: 0, memoryBytes: 100 },
});

function report(node: string, pods: readonly (readonly [namespace: string, pod: string, id: number])[]): VolumesReport {
  const volumes = pods.map(([namespace, name, id]) => ({
    ...{ name: 'maps', volumeId: name, type: 'maps' as const, podUid: name, since: null, generations: 1 },
    pod: { namespace, name, serviceAccount: 'a' },
    files: [{ path: 'flows', access: 'read' as const, bpfMap: 'flows', map: map(id), isCurrent: true }],
    refusals: [],
    filesLeftOut: 0,
  }));
  return { node, time: '', volumes, volumesLeftOut: 0 };
}

test('a map counts once for each namespace and node, however many pods have it', () => {
  const sum = createMemorySum();
  sum.add(
    report('a', [
      ['prod', 'one', 7],
      ['prod', 'two', 7],
      ['dev', 'three', 7],
    ]),
  );
  // Ids are those of a node's kernel.
  sum.add(report('b', [['prod', 'four', 7]]));
  assert.deepEqual(sum.rows(), [
    { namespace: 'prod', bpfMap: 'flows', nodes: 2, pods: 3, maps: 2, memoryBytes: 200 },
    { namespace: 'dev', bpfMap: 'flows', nodes: 1, pods: 1, maps: 1, memoryBytes: 100 },
  ]);
});
