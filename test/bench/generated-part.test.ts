import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withGeneratedPart } from './generated-part.ts';

const BEGIN = '<!-- begin table -->';
const END = '<!-- end table -->';

test('only what is between the markers is replaced', () => {
  const made = withGeneratedPart(`a\n${BEGIN}\nold\n${END}\nb\n`, 'table', 'new');
  assert.equal(made, `a\n${BEGIN}\nnew\n${END}\nb\n`);
  assert.equal(withGeneratedPart(made, 'table', 'new'), made);
});

for (const [what, text] of [
  ['no marker', 'a'],
  ['no end', BEGIN],
  ['the end first', `${END}${BEGIN}`],
  ['two parts', `${BEGIN}${END}${BEGIN}${END}`],
] as const) {
  test(`a text with ${what} is refused`, () => {
    assert.throws(() => withGeneratedPart(text, 'table', 'new'), /each once$/);
  });
}
