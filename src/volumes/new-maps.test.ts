import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CallError, Code } from '../errors.ts';
import { parseNewMaps } from './new-maps.ts';

const flows = '- { name: flows, type: hash, keySize: 4, valueSize: 8, maxEntries: 1024 }\n';
const ring = (name: string) => `- { name: ${name}, type: ringbuf, maxEntries: 4096 }\n`;
const many = (count: number) => Array.from({ length: count }, (_, index) => ring(`m${index}`)).join('');

test('reads a list, in either style of YAML', () => {
  const text = `# for the collector
${flows}
- name: Per_Tenant-1
  type: hash_of_maps
  keySize: 8
  maxEntries: 64
  flags: [BPF_F_NO_PREALLOC]
  inner:
    type: array
    valueSize: 16
    maxEntries: 128
`;
  assert.deepEqual(parseNewMaps(text), [
    { name: 'flows', type: 'hash', keySize: 4, valueSize: 8, maxEntries: 1024, flags: [] },
    {
      ...{ name: 'Per_Tenant-1', type: 'hash_of_maps', keySize: 8, valueSize: 4, maxEntries: 64 },
      flags: ['BPF_F_NO_PREALLOC'],
      inner: { type: 'array', keySize: 4, valueSize: 16, maxEntries: 128, flags: [] },
    },
  ]);
  assert.equal(parseNewMaps(many(256)).length, 256);
  assert.equal(parseNewMaps(`---\n${flows}...\n`).length, 1);
});

describe('rejects', () => {
  const cases: readonly (readonly [what: string, text: string, problem: string])[] = [
    ['nothing', '', 'must be a YAML list of map definitions, and is empty'],
    ['a comment', '# none yet\n', 'must be a YAML list of map definitions, and is empty'],
    ['null', '~', 'must be a YAML list of map definitions, and is empty'],
    ['an empty list', '[]', '1:1: must have 1 to 256 maps'],
    ['too many maps', many(257), '1:1: must have 1 to 256 maps'],
    ['a scalar', 'flows', '1:1: must be a list, is a string'],
    ['an object', 'flows: { type: hash }', '1:1: must be a list, is an object'],
    ['a list of scalars', '- flows', '1:3: [0]: must be an object, is a string'],
    ['two documents', `${flows}---\n${ring('a')}`, '3:1: a second YAML document; one list is all there is'],
    ['no name', '- { type: ringbuf, maxEntries: 4096 }', '1:3: [0].name: required'],
    ['a name with a dot', ring('a.b'), '1:5: [0].name: must be 1 to 128 of A-Z a-z 0-9 _ -'],
    ['a long name', ring('a'.repeat(129)), '1:5: [0].name: must be 1 to 128 of A-Z a-z 0-9 _ -'],
    ['a name that is a number', ring('1'), '1:5: [0].name: must be a string, is a number'],
    ['a duplicate name', `${flows}${ring('a')}${ring('flows')}`, '3:5: [2].name: "flows" is there already, at 1:5'],
    ['an unknown key', flows.replace('keySize', 'keysize'), '1:30: [0].keysize: unknown key'],
    ['a key with a meaning in JavaScript', flows.replace('}', ', __proto__: {} }'), '1:75: [0].__proto__: unknown key'],
    ['a very long key', flows.replace('}', `, ${'k'.repeat(1000)}: 1 }`), `1:75: [0].${'k'.repeat(246)}…`],
    [
      'a size that the type does not allow',
      flows.replace('hash', 'array').replace('4', '8'),
      '1:31: [0].keySize: keySize must be 4 for type array, is 8',
    ],
    [
      'a missing size',
      flows.replace('keySize: 4, ', ''),
      '1:3: [0].keySize: keySize is required for type hash: 1 to 4194254',
    ],
    [
      'a flag that the type does not allow',
      ring('a').replace('}', ', flags: [BPF_F_MMAPABLE] }'),
      '1:56: [0].flags[0]: type ringbuf takes no flags; flags has BPF_F_MMAPABLE',
    ],
    [
      'an invalid inner map',
      '- name: a\n  type: array_of_maps\n  maxEntries: 4\n  inner:\n    type: ringbuf\n    maxEntries: 5\n',
      '6:5: [0].inner.maxEntries: maxEntries must be a power of two from 4096 to 2147483648 for type ringbuf, is 5',
    ],
    ['a tab', '- name: a\n\ttype: hash', '2:2: Unexpected scalar at node end'],
    ['a duplicate key', flows.replace('keySize', 'name'), '1:30: Map keys must be unique'],
    ['an alias', `- &a { name: x }\n- *a\n`, '2:3: an alias is not taken here: write it out'],
    ['an alias to nothing', '- *a', '1:3: an alias is not taken here: write it out'],
    ['a list that contains itself', '&a [*a]', '1:5: an alias is not taken here: write it out'],
    ['a key that is a list', '- { [a]: 1 }', '1:5: a key must be text'],
    ['nested keys', '? '.repeat(600), '1:3: a key must be text'],
  ];
  for (const [what, text, problem] of cases) {
    test(what, () => {
      assert.throws(
        () => parseNewMaps(text),
        refused((problems) => problems.startsWith(problem)),
      );
    });
  }

  test('too long a text', () => {
    const text = `${flows}# ${'é'.repeat(32_768)}`;
    assert.throws(
      () => parseNewMaps(text),
      refused((problem) => problem === `must have at most 65536 bytes, has ${Buffer.byteLength(text)}`),
    );
  });

  test('several problems, and lists the first ones', () => {
    const text = [1, 2, 3, 4, 5, 6]
      .map((size) => `- { name: m${size}, type: array, keySize: ${size}, valueSize: 1, maxEntries: 0 }\n`)
      .join('');
    assert.throws(
      () => parseNewMaps(text),
      refused((problems) => {
        const parts = problems.split('; ');
        assert.deepEqual(parts, [
          '1:28: [0].keySize: keySize must be 4 for type array, is 1',
          '1:54: [0].maxEntries: maxEntries must be 1 to 4294967295 for type array, is 0',
          '2:28: [1].keySize: keySize must be 4 for type array, is 2',
          '2:54: [1].maxEntries: maxEntries must be 1 to 4294967295 for type array, is 0',
          'and 7 more',
        ]);
        return true;
      }),
    );
  });
});

// A parser that hangs runs into the test's timeout.
test('rejects text that is made to hang a parser', () => {
  const pieces = [
    '[',
    '{',
    '- ',
    '? ',
    '{? ',
    '[{',
    '? - ',
    '&a ',
    '*a ',
    '"',
    ':',
    'a: ',
    '---\n',
    '- a\n',
    '{a: ',
    '- &a\n',
    '|\n',
  ];
  for (const piece of pieces) {
    for (const size of [400, 1600, 65_536]) {
      assert.throws(
        () => parseNewMaps(piece.repeat(size / piece.length)),
        refused((problems) => problems.length < 2000),
        piece,
      );
    }
  }
});

/** Matches INVALID_ARGUMENT for newMaps; `right` checks the problems. */
function refused(right: (problems: string) => boolean) {
  return (error: unknown) => {
    assert.ok(error instanceof CallError, String(error));
    assert.equal(error.code, Code.INVALID_ARGUMENT);
    const { message } = error;
    const field = 'parameters.newMaps: ';
    assert.ok(message.startsWith(field) && right(message.slice(field.length)), message);
    return true;
  };
}
