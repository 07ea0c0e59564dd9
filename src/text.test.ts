import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { BadConfiguration, CallError, Code, invalidArgument } from './errors.ts';
import { createLogger } from './logger.ts';
import { cut, MAX_LOGGED_ELEMENTS, MAX_STATUS_BYTES, quote, visible } from './text.ts';

/** Any text of UTF-16 units, unpaired surrogates included. */
const anyText = fc.oneof(fc.string({ unit: 'binary', maxLength: 4000 }), utf16());

function utf16(): fc.Arbitrary<string> {
  return fc.array(fc.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units));
}

describe('invisible characters are escaped', () => {
  const cases: readonly (readonly [what: string, text: string, shown: string])[] = [
    ['a zero width space', 'flows,\u200blimits', 'flows,\\u{200b}limits'],
    ['a right-to-left override', 'a\u202eb', 'a\\u{202e}b'],
    ['an isolate', '\u2066a\u2069', '\\u{2066}a\\u{2069}'],
    ['a no-break space', 'a\u00a0b', 'a\\u{a0}b'],
    ['a line separator', 'a\u2028b', 'a\\u{2028}b'],
    ['a terminal sequence', '\u001b[2J', '\\u{1b}[2J'],
    ['a newline', 'a\nb', 'a\\u{a}b'],
    ['a soft hyphen', 'a\u00adb', 'a\\u{ad}b'],
    ['a tag beyond 16 bits', 'a\u{e0041}b', 'a\\u{e0041}b'],
    ['a filler that is a letter', 'a\u3164b', 'a\\u{3164}b'],
    ['a variation selector', 'a\ufe0fb', 'a\\u{fe0f}b'],
    ['an unpaired surrogate', 'a\ud800b', 'a\\u{d800}b'],
    ['a visible text stays as it is', 'a b"ä🐝', 'a b"ä🐝'],
  ];
  for (const [what, text, shown] of cases) test(what, () => assert.equal(visible(text), shown));

  test('in quoted input', () => {
    assert.equal(quote('a"\u200b\n'), '"a\\"\\u{200b}\\n"');
    assert.equal(quote(`${'a'.repeat(64)}b`), `"${'a'.repeat(64)}…"`);
  });

  test('in every error and every log line', () => {
    assert.equal(new CallError(Code.INTERNAL, 'a\u202eb').message, 'a\\u{202e}b');
    assert.deepEqual(new BadConfiguration(['a\u202eb', 'c']).problems, ['a\\u{202e}b', 'c']);
    const lines: string[] = [];
    createLogger('info', { write: (line) => void lines.push(line) }).info({ problems: ['a\u202eb', 'c'] }, 'call');
    assert.deepEqual(JSON.parse(lines[0] ?? '').problems, ['a\\u{202e}b', 'c']);
  });

  test('in any text, and escaping twice changes nothing', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const shown = visible(text);
        assert.equal(visible(shown), shown);
        assert(shown.isWellFormed());
      }),
    );
  });
});

describe('texts are truncated', () => {
  test('a status message fits its header, percent-encoded', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const { message } = invalidArgument('volumeAttributes.maps', text);
        assert(encodeURI(message).length <= MAX_STATUS_BYTES);
      }),
    );
    const { message } = invalidArgument('field', 'ä'.repeat(5000));
    assert.match(message, /^field: ä+… and \d+ more characters$/);
    const [, left] = /and (\d+) more/.exec(message) ?? [];
    assert.equal(message.match(/ä/g)?.length, 5000 - Number(left));
  });

  test('a text that fits stays as it is', () => {
    const longest = 'a'.repeat(MAX_STATUS_BYTES);
    assert.equal(new CallError(Code.INTERNAL, longest).message, longest);
    assert.notEqual(new CallError(Code.INTERNAL, `${longest}a`).message, `${longest}a`);
    assert.equal(cut('🐝'.repeat(256), 1024), '🐝'.repeat(256));
  });

  test('strings and lists in a log line, at any depth', () => {
    const lines: string[] = [];
    const log = createLogger('info', { write: (line) => void lines.push(line) });
    const long = 'x'.repeat(100_000);
    log.info(
      { volumeId: long, refused: [{ error: long }], problems: Array(10_000).fill('bad'), durationMs: 1 },
      'call',
    );
    const line = JSON.parse(lines[0] ?? '');
    assert((lines[0]?.length ?? 0) < 8192, `${lines[0]?.length}`);
    assert.match(line.volumeId, /^x+… and \d+ more characters$/);
    assert.match(line.refused[0].error, /^x+… and \d+ more characters$/);
    assert.equal(line.problems.length, MAX_LOGGED_ELEMENTS + 1);
    assert.equal(line.problems.at(-1), `… and ${10_000 - MAX_LOGGED_ELEMENTS} more`);
    assert.equal(line.durationMs, 1);
  });
});
