import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BadConfiguration } from '../errors.ts';
import type { Source } from '../rpc/pinner.ts';
import { parseCatalog } from './catalog-file.ts';

const entry = (name: string, spec: string) => `apiVersion: bpffs.dev/v1alpha1
kind: BpfMap
metadata: { name: ${name} }
spec:
  ${spec}
`;
const pinned = 'source: { pinned: { path: /sys/fs/bpf/a } }';
const onNode = (source: Source) => ({ kind: 'node', source });
const created = 'source: { created: { type: hash, keySize: 4, valueSize: 8, maxEntries: 16 } }';

test('fills in the sizes that the type of a created map determines', () => {
  const inner = '{ type: ringbuf, maxEntries: 4096 }';
  const { maps } = parseCatalog(
    entry('a', `source: { created: { type: array_of_maps, maxEntries: 8, inner: ${inner} } }`),
    'c.yaml',
  );
  const value = {
    ...{ name: 'a', type: 'array_of_maps', keySize: 4, valueSize: 4, maxEntries: 8, flags: [], volumeId: '' },
    inner: { type: 'ringbuf', keySize: 0, valueSize: 0, maxEntries: 4096, flags: [] },
  };
  assert.deepEqual(maps.get('a')?.source, onNode({ created: value }));
});

test('reads a workspace source', () => {
  const workspace = 'source: { workspace: { namespace: net, claim: agent, path: maps/flows } }';
  const source = { kind: 'workspace', claim: { namespace: 'net', name: 'agent' }, path: 'maps/flows' };
  assert.deepEqual(parseCatalog(entry('a', workspace), 'c.yaml').maps.get('a')?.source, source);
});

test('reads a workspace source that names whose the workspace is', () => {
  const kinds = { daemonSet: 'DaemonSet', deployment: 'Deployment', statefulSet: 'StatefulSet' };
  for (const [field, kind] of Object.entries({ ...kinds, serviceAccount: 'ServiceAccount' })) {
    const workspace = `source: { workspace: { namespace: net, ${field}: agent, volume: pins, path: maps/flows } }`;
    const owner = { kind, namespace: 'net', name: 'agent' };
    const source = { kind: 'ownedWorkspace', owner, volume: 'pins', path: 'maps/flows' };
    assert.deepEqual(parseCatalog(entry('a', workspace), 'c.yaml').maps.get('a')?.source, source);
  }
});

test('reads a bpfman source', () => {
  const program = 'application: counter, program: count_packets_everywhere, map: counts';
  const expected = { application: 'counter', program: 'count_packets_everywhere', map: 'counts' };
  const read = (fields: string) =>
    parseCatalog(entry('a', `source: { bpfman: { ${fields} } }`), 'c.yaml').maps.get('a')?.source;
  const any = { kind: 'bpfman', namespace: undefined, programTag: undefined };
  assert.deepEqual(read(program), { ...any, ...expected });
  assert.deepEqual(read(`namespace: net, ${program}`), { ...any, ...expected, namespace: 'net' });
  const programTag = '0123456789abcdef';
  assert.deepEqual(read(`programTag: "${programTag}", ${program}`), { ...any, ...expected, programTag });
});

test('reads delegations, which may have the name of a map', () => {
  const delegation = entry('a', 'commands: [map_create]\n  mapTypes: [hash]').replace('BpfMap', 'BpfDelegation');
  const { maps, delegations } = parseCatalog(`${entry('a', pinned)}---\n${delegation}`, 'c.yaml');
  assert.deepEqual([...maps.keys()], ['a']);
  const expected = { commands: ['map_create'], mapTypes: ['hash'], programTypes: [], attachTypes: [] };
  assert.deepEqual([...delegations], [['a', expected]]);
  assert.throws(() => parseCatalog(`${delegation}---\n${delegation}`, 'c.yaml'), BadConfiguration);
});

test('reads the other sources', () => {
  const text = [
    entry('a', pinned),
    entry(
      'b',
      'source: { loaded: { map: flows, programTag: 0123456789abcdef } }\n  fileName: B_1\n  maxAccess: ReadWrite',
    ),
    entry('c.d', `${created.replace('16 }', '16, flags: [BPF_F_NO_PREALLOC] }')}\n  fileName: c`),
  ].join('---\n');
  const { maps } = parseCatalog(text, 'c.yaml');
  assert.deepEqual(
    [...maps.values()],
    [
      {
        name: 'a',
        fileName: 'a',
        maxAccess: 'ReadOnly',
        source: onNode({ pinned: { path: '/sys/fs/bpf/a' } }),
      },
      {
        name: 'b',
        fileName: 'B_1',
        maxAccess: 'ReadWrite',
        source: onNode({
          loaded: { map: 'flows', program: '', programTag: '0123456789abcdef', programId: 0 },
        }),
      },
      {
        name: 'c.d',
        fileName: 'c',
        maxAccess: 'ReadOnly',
        source: onNode({
          created: {
            name: 'c_d',
            type: 'hash',
            keySize: 4,
            valueSize: 8,
            maxEntries: 16,
            flags: ['BPF_F_NO_PREALLOC'],
            volumeId: '',
            inner: null,
          },
        }),
      },
    ],
  );
  assert.equal(parseCatalog('', 'c.yaml').maps.size, 0);
});

describe('reports the line and column of', () => {
  const cases: readonly (readonly [what: string, text: string, ...problems: string[]])[] = [
    [
      'a second source',
      entry('a', `${pinned.slice(0, -2)}, ${created.slice(10)}`),
      'c.yaml:5:3: spec.source: exactly one of pinned, loaded, bpfman, created, workspace, delegation is required',
    ],
    ['no source', entry('a', 'fileName: a'), 'c.yaml:4:1: spec.source: required'],
    ['an unknown key', entry('a', `${pinned}\n  filename: b`), 'c.yaml:6:3: spec.filename: unknown key'],
    [
      'a long kernel name',
      entry('a', 'source: { loaded: { map: sixteen_letters_ } }'),
      'c.yaml:5:23: spec.source.loaded.map: must be 1 to 15 letters, digits, "_" or ".": the kernel keeps the first 15 characters',
    ],
    [
      'a dotted name',
      entry('a.b', pinned),
      'c.yaml:4:1: spec.fileName: required, because a bpf filesystem refuses the dot in "a.b"',
    ],
    [
      'a duplicate name',
      `${entry('a', pinned)}---\n${entry('a', pinned)}`,
      'c.yaml:9:13: metadata.name: "a" is there already, at c.yaml:3:13',
    ],
    [
      'a pin path with ..',
      entry('a', pinned.replace('bpf/a', 'bpf/../a')),
      'c.yaml:5:23: spec.source.pinned.path: must be an absolute path without "." or ".." or empty elements',
    ],
    [
      'a size that is text',
      entry('a', created.replace('4,', '"4",')),
      'c.yaml:5:36: spec.source.created.keySize: must be a number, is a string',
    ],
    [
      'no entries',
      entry('a', created.replace('16', '0')),
      'c.yaml:5:62: spec.source.created.maxEntries: maxEntries must be 1 to 134217728 for type hash, is 0',
    ],
    [
      'an unsupported flag',
      entry('a', created.replace('16 }', '16, flags: [BPF_F_ZERO_SEED, BPF_F_TOKEN_FD] }')),
      'c.yaml:5:103: spec.source.created.flags[1]: "BPF_F_TOKEN_FD" is none of BPF_F_NO_PREALLOC, BPF_F_NO_COMMON_LRU, BPF_F_ZERO_SEED, BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG, BPF_F_MMAPABLE, BPF_F_INNER_MAP',
    ],
    [
      'a size that the type does not allow',
      entry('a', created.replace('hash', 'array').replace('4,', '8,')),
      'c.yaml:5:37: spec.source.created.keySize: keySize must be 4 for type array, is 8',
    ],
    [
      'a map of maps without inner',
      entry('a', 'source: { created: { type: array_of_maps, maxEntries: 8 } }'),
      'c.yaml:5:13: spec.source.created.inner: inner is required for type array_of_maps: the definition of each map in it',
    ],
    [
      'a workspace path with dots',
      entry('a', 'source: { workspace: { namespace: net, claim: agent, path: ../flows } }'),
      'c.yaml:5:56: spec.source.workspace.path: must be relative to the workspace, as "agent/flows"; bpf filesystems refuse dots',
    ],
    [
      'a workspace that nothing names',
      entry('a', 'source: { workspace: { namespace: net, path: flows } }'),
      'c.yaml:5:13: spec.source.workspace: exactly one of claim, daemonSet, deployment, statefulSet, serviceAccount is required',
    ],
    [
      'a workspace that two things name',
      entry('a', 'source: { workspace: { namespace: net, claim: agent, daemonSet: agent, path: flows } }'),
      'c.yaml:5:13: spec.source.workspace: exactly one of claim, daemonSet, deployment, statefulSet, serviceAccount is required',
    ],
    [
      'a workload without a volume',
      entry('a', 'source: { workspace: { namespace: net, daemonSet: agent, path: flows } }'),
      'c.yaml:5:13: spec.source.workspace.volume: the name of a volume in the pod spec: required with all but claim, not allowed with it',
    ],
    [
      'a claim with a volume',
      entry('a', 'source: { workspace: { namespace: net, claim: agent, volume: pins, path: flows } }'),
      'c.yaml:5:56: spec.source.workspace.volume: the name of a volume in the pod spec: required with all but claim, not allowed with it',
    ],
    [
      'a bad volume',
      entry('a', 'source: { workspace: { namespace: net, serviceAccount: agent, volume: a.b, path: flows } }'),
      'c.yaml:5:65: spec.source.workspace.volume: must be the name of a volume in the pod spec',
    ],
    [
      'two problems',
      entry('A', 'source: {}'),
      'c.yaml:3:13: metadata.name: must be a DNS-1123 subdomain of at most 128 characters',
      'c.yaml:5:3: spec.source: exactly one of pinned, loaded, bpfman, created, workspace, delegation is required',
    ],
    ['a duplicate key', `${entry('a', pinned)}kind: BpfMap\n`, 'c.yaml:6:1: Map keys must be unique'],
    ['a list', '- a\n', 'c.yaml:1:1: must be an object, is a list'],
  ];
  for (const [what, text, ...problems] of cases) {
    test(what, () => {
      assert.throws(
        () => parseCatalog(text, 'c.yaml'),
        (error) => {
          assert(error instanceof BadConfiguration);
          assert.deepEqual(error.problems, problems);
          return true;
        },
      );
    });
  }
});
