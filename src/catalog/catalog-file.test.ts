import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BadConfiguration } from '../errors.ts';
import { parseCatalog } from './catalog-file.ts';

const entry = (name: string, spec: string) => `apiVersion: bpffs.dev/v1alpha1
kind: BpfMap
metadata: { name: ${name} }
spec:
  ${spec}
`;
const pinned = 'source: { pinned: { path: /sys/fs/bpf/a } }';
const created = 'source: { created: { type: hash, keySize: 4, valueSize: 8, maxEntries: 16 } }';

test('reads the three sources', () => {
  const text = [
    entry('a', pinned),
    entry(
      'b',
      'source: { loaded: { map: flows, programTag: 0123456789abcdef } }\n  fileName: B_1\n  maxAccess: ReadWrite',
    ),
    entry('c.d', `${created.replace('16 }', '16, flags: [BPF_F_NO_PREALLOC] }')}\n  fileName: c`),
  ].join('---\n');
  const maps = parseCatalog(text, 'c.yaml');
  assert.deepEqual(
    [...maps.values()],
    [
      {
        name: 'a',
        fileName: 'a',
        maxAccess: 'ReadOnly',
        source: { from: { $case: 'pinned', value: { path: '/sys/fs/bpf/a' } } },
      },
      {
        name: 'b',
        fileName: 'B_1',
        maxAccess: 'ReadWrite',
        source: { from: { $case: 'loaded', value: { map: 'flows', program: '', programTag: '0123456789abcdef' } } },
      },
      {
        name: 'c.d',
        fileName: 'c',
        maxAccess: 'ReadOnly',
        source: {
          from: {
            $case: 'created',
            value: {
              name: 'c_d',
              type: 'hash',
              keySize: 4,
              valueSize: 8,
              maxEntries: 16,
              flags: ['BPF_F_NO_PREALLOC'],
            },
          },
        },
      },
    ],
  );
  assert.equal(parseCatalog('', 'c.yaml').size, 0);
});

describe('names the place of', () => {
  const cases: readonly (readonly [what: string, text: string, ...problems: string[]])[] = [
    [
      'a source too many',
      entry('a', `${pinned.slice(0, -2)}, ${created.slice(10)}`),
      'c.yaml:5:3: spec.source: exactly one of pinned, loaded, created is required',
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
      'a name twice',
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
      'c.yaml:5:36: spec.source.created.keySize: must be a number',
    ],
    [
      'no entries',
      entry('a', created.replace('16', '0')),
      'c.yaml:5:62: spec.source.created.maxEntries: must be a whole number from 1 to 4294967295',
    ],
    [
      'a flag that is not handed out',
      entry('a', created.replace('16 }', '16, flags: [BPF_F_ZERO_SEED, BPF_F_TOKEN_FD] }')),
      'c.yaml:5:103: spec.source.created.flags[1]: must be BPF_F_NO_PREALLOC or BPF_F_NO_COMMON_LRU or BPF_F_ZERO_SEED or BPF_F_RDONLY_PROG or BPF_F_WRONLY_PROG or BPF_F_MMAPABLE',
    ],
    [
      'two problems',
      entry('A', 'source: {}'),
      'c.yaml:3:13: metadata.name: must be a DNS-1123 subdomain of at most 128 characters',
      'c.yaml:5:3: spec.source: exactly one of pinned, loaded, created is required',
    ],
    ['a key twice', `${entry('a', pinned)}kind: BpfMap\n`, 'c.yaml:6:1: Map keys must be unique'],
    ['no object', '- a\n', 'c.yaml:1:1: must be an object'],
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
