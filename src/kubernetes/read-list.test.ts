import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readList } from './read-list.ts';

/** What is read of a text that arrives in pieces of these lengths, and then as a whole. */
async function read(text: string, lengths: readonly number[] = []) {
  const objects: unknown[] = [];
  const rest = await readList(pieces(Buffer.from(text), lengths), (object) => objects.push(object));
  return { objects, rest };
}

async function* pieces(bytes: Buffer, lengths: readonly number[]): AsyncGenerator<Buffer> {
  let from = 0;
  for (const length of lengths) {
    yield bytes.subarray(from, from + length);
    from += length;
  }
  yield bytes.subarray(from);
}

const hostile = fc.string({ unit: fc.constantFrom(...'{}[]",:\\', '\n', 'ü', '\u{1f600}', '"items":[') });
const value = fc.oneof(fc.jsonValue(), hostile, fc.array(hostile), fc.dictionary(hostile, fc.array(hostile)));
const object = fc.dictionary(fc.oneof(hostile, fc.constant('items')), value);

test('however it arrives, and whatever its objects have in them, each is read, and so is what is around them', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(object, { maxLength: 5 }),
      fc.dictionary(fc.constantFrom('kind', 'metadata', 'a"b', 'zero'), value),
      fc.nat(4),
      fc.array(fc.nat(40), { maxLength: 30 }),
      fc.constantFrom(undefined, 2),
      async (items, others, place, lengths, indent) => {
        const fields: [string, unknown][] = Object.entries(others);
        fields.splice(place, 0, ['items', items]);
        const text = JSON.stringify(Object.fromEntries(fields), undefined, indent);
        const { objects, rest } = await read(text, lengths);
        assert.deepEqual(JSON.parse(JSON.stringify(objects)), JSON.parse(JSON.stringify(items)));
        assert.deepEqual(JSON.parse(rest), JSON.parse(JSON.stringify({ ...others, items: [] })));
      },
    ),
    { numRuns: 500 },
  );
});

test('a list without items, and what is no list, are returned as they are', async () => {
  for (const text of [
    '{"items":null,"metadata":{}}',
    '{"item":[{}],"kind":["items",[{}]]}',
    '<html>{[</html>',
    '',
    '[[{}]]',
  ])
    assert.deepEqual(await read(text), { objects: [], rest: text });
});

test('a list that breaks off is no JSON, after the objects that are there', async () => {
  const { objects, rest } = await read('{"items":[{"a":1},{"b":');
  assert.deepEqual(objects, [{ a: 1 }]);
  assert.throws(() => JSON.parse(rest), SyntaxError);
  await assert.rejects(read('{"items":[{"a":]}'), SyntaxError);
});
