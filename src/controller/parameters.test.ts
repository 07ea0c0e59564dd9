import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CallError, Code } from '../errors.ts';
import { parseParameters } from './parameters.ts';

const NEW_MAPS = '- { name: events, type: ringbuf, maxEntries: 4096 }';
const EVENTS = { name: 'events', type: 'ringbuf', keySize: 0, valueSize: 0, maxEntries: 4096, flags: [] };
const PVC = { 'csi.storage.k8s.io/pvc/name': 'flows', 'csi.storage.k8s.io/pvc/namespace': 'prod' };

describe('accepts', () => {
  const cases: readonly (readonly [what: string, given: Readonly<Record<string, string>>, parsed: object])[] = [
    ['maps, which is the default', { maps: 'a, b:rw' }, { content: { type: 'maps', maps: 'a, b:rw' } }],
    ['maps by name', { type: 'maps', maps: 'a' }, { content: { type: 'maps', maps: 'a' } }],
    ['maps, normalized', { maps: ' a ,b:rw ' }, { content: { type: 'maps', maps: 'a, b:rw' } }],
    ['shared', { type: 'shared', newMaps: NEW_MAPS }, { content: { type: 'shared', newMaps: [EVENTS] } }],
    ['workspace', { type: 'workspace', hostUsers: 'true' }, { content: { type: 'workspace' } }],
    ['hostUsers', { maps: 'a', hostUsers: 'false' }, { content: { type: 'maps', maps: 'a' }, userNamespace: true }],
    [
      'a claim',
      { ...PVC, type: 'workspace' },
      { content: { type: 'workspace' }, claim: { namespace: 'prod', name: 'flows' } },
    ],
    [
      'an incomplete claim, which is ignored, and unknown keys of the provisioner',
      {
        'csi.storage.k8s.io/pvc/name': 'flows',
        'csi.storage.k8s.io/pv/name': 'x',
        'csi.storage.k8s.io/new': 'y',
        maps: 'a',
      },
      { content: { type: 'maps', maps: 'a' } },
    ],
  ];
  for (const [what, given, parsed] of cases) {
    test(what, () => {
      assert.deepEqual(parseParameters(given), { userNamespace: false, claim: undefined, ...parsed });
    });
  }
});

describe('rejects', () => {
  const cases: readonly (readonly [what: string, given: Readonly<Record<string, string>>, message: RegExp])[] = [
    ['nothing', {}, /^parameters\.maps: required for type maps; write for example "flows, limits:rw"$/],
    ['an unknown type', { type: 'Maps' }, /^parameters\.type: unknown type "Maps"; did you mean "maps"\? known: maps,/],
    ['no type', { type: '' }, /^parameters\.type: unknown type ""/],
    ['a bad list', { maps: 'flows,,' }, /^parameters\.maps: an item is empty/],
    ['a bad access', { maps: 'flows:w' }, /^parameters\.maps: "flows:w": unknown access "w"/],
    [
      'maps with type shared',
      { type: 'shared', newMaps: NEW_MAPS, maps: 'a' },
      /^parameters\.maps: only for type maps, and parameters\.type is shared; remove one of them$/,
    ],
    [
      'newMaps with type maps',
      { maps: 'a', newMaps: NEW_MAPS },
      /^parameters\.newMaps: only for type shared, and parameters\.type is maps; remove one of them$/,
    ],
    ['newMaps with type workspace', { type: 'workspace', newMaps: '' }, /^parameters\.newMaps: only for type shared/],
    ['shared without maps', { type: 'shared' }, /^parameters\.newMaps: required for type shared: a YAML list/],
    ['invalid newMaps', { type: 'shared', newMaps: '- {}' }, /newMaps: 1:3: /],
    [
      'an invalid hostUsers',
      { maps: 'a', hostUsers: 'no' },
      /^parameters\.hostUsers: "no" is neither "true" nor "false"$/,
    ],
    [
      'hostUsers of a workspace',
      { type: 'workspace', hostUsers: 'false' },
      /^parameters\.hostUsers: "false" is not possible with/,
    ],
    [
      'a parameter in another case',
      { newmaps: '' },
      /^parameters\.newmaps: unknown parameter; did you mean "newMaps"\? known: type, maps,/,
    ],
    [
      'what only the node gets',
      { 'storage.kubernetes.io/x': '' },
      /^parameters\.storage\.kubernetes\.io\/x: unknown parameter; known/,
    ],
    ['a key with a meaning in JavaScript', { constructor: '' }, /^parameters\.constructor: unknown parameter/],
  ];
  for (const [what, given, message] of cases) {
    test(what, () => {
      assert.throws(
        () => parseParameters(given),
        (error) => {
          assert(error instanceof CallError && error.code === Code.INVALID_ARGUMENT, String(error));
          assert.match(error.message, message);
          return true;
        },
      );
    });
  }
});
