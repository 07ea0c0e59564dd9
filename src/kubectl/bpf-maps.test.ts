import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseBpfMap } from '../maps/cluster-bpf-map.ts';
import { sourceText } from './bpf-maps.ts';

const textOf = (source: object) =>
  sourceText(
    parseBpfMap({
      apiVersion: 'bpffs.dev/v1alpha1',
      kind: 'BpfMap',
      metadata: { name: 'flows', uid: 'u', resourceVersion: '1', creationTimestamp: '2030-01-01T00:00:00Z' },
      spec: { source },
    }).source,
  );

test('a source in a few words', () => {
  const workspace = { namespace: 'net', path: 'maps/flows' };
  const program = { application: 'counter', program: 'count', map: 'counts' };
  for (const [source, text] of [
    [{ pinned: { path: '/sys/fs/bpf/flows' } }, 'pinned /sys/fs/bpf/flows'],
    [{ loaded: { map: 'flows', program: 'count' } }, 'loaded count flows'],
    [{ loaded: { map: 'flows' } }, 'loaded flows'],
    [{ created: { type: 'hash', keySize: 4, valueSize: 4, maxEntries: 1 } }, 'created hash'],
    [{ bpfman: program }, 'bpfman counter count counts'],
    [{ workspace: { ...workspace, claim: 'agent' } }, 'workspace net/agent maps/flows'],
    [
      { workspace: { ...workspace, daemonSet: 'agent', volume: 'pins' } },
      'workspace DaemonSet net/agent pins maps/flows',
    ],
    [
      { workspace: { ...workspace, serviceAccount: 'loader', volume: 'pins' } },
      'workspace ServiceAccount net/loader pins maps/flows',
    ],
    [
      {},
      'BpfMap "flows" cannot be used: spec.source: exactly one of pinned, loaded, bpfman, created, workspace, delegation is required',
    ],
  ] as const) {
    assert.equal(textOf(source), text);
  }
});
