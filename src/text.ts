/**
 * Texts that others read: of errors, of the log, of events. What cannot be seen is written as an escape, because a text may quote what
 * somebody wrote to mislead; and each has a bound, because what it quotes may be as long as its author likes.
 */

/** Bytes of a status's text as it travels, percent-encoded in an HTTP/2 header: all headers together may have 8 to 16 KiB. */
export const MAX_STATUS_BYTES = 2048;

/** Bytes of a text in a line of the log. */
export const MAX_LOGGED_BYTES = 2048;

/** Elements of a list in a line of the log. */
export const MAX_LOGGED_ELEMENTS = 32;

/** Characters of what an error text quotes. */
const MAX_QUOTE_LENGTH = 64;

/** Control characters, spaces that are not " ", what is drawn as nothing or turns the direction around, and half characters. */
const INVISIBLE = /(?! )[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}\u2800]/gu;

/** Most texts; to see that takes a tenth of looking for the others' characters. */
const PRINTABLE_ASCII = /^[ -~]*$/;

/** The text with what cannot be seen as `\u{200b}`, as the pinner writes it. */
export function visible(text: string): string {
  if (PRINTABLE_ASCII.test(text)) return text;
  return text.replace(INVISIBLE, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
}

/** User input for an error text: quoted, and cut where it is too long to help. */
export function quote(text: string): string {
  const cut = text.length > MAX_QUOTE_LENGTH ? `${text.slice(0, MAX_QUOTE_LENGTH)}…` : text;
  return visible(JSON.stringify(cut));
}

/** As much of the text as `maxBytes` bytes hold, visible, and how much is left out. `size`: the bytes of a character; default: in UTF-8. */
export function cut(text: string, maxBytes: number, size: (character: string) => number = Buffer.byteLength): string {
  // No character has less than a byte: what lies beyond need not be looked at.
  const shown = visible(text.slice(0, maxBytes));
  const beyond = Math.max(0, text.length - maxBytes);
  // Nor more than twelve, percent-encoded.
  if (beyond === 0 && shown.length * 12 <= maxBytes) return shown;
  const room = maxBytes - LONGEST_SUFFIX.length;
  let [bytes, kept] = [0, 0];
  for (const character of shown) {
    bytes += size(character);
    if (bytes <= room) kept += character.length;
    if (bytes > maxBytes) break;
  }
  if (beyond === 0 && bytes <= maxBytes) return shown;
  return `${shown.slice(0, kept)}… and ${shown.length - kept + beyond} more characters`;
}

/** Room for what `cut` adds, percent-encoded, whatever the number. */
const LONGEST_SUFFIX = '%E2%80%A6%20and%201234567890%20more%20characters';

/** A status's text. */
export function statusText(text: string): string {
  return cut(text, MAX_STATUS_BYTES, (character) => encodeURI(character).length);
}

/** What a line of the log says of one thing: texts and lists are cut, however deep they lie. */
export function logged(value: unknown): unknown {
  if (typeof value === 'string') return cut(value, MAX_LOGGED_BYTES);
  if (Array.isArray(value)) {
    const all = value.slice(0, MAX_LOGGED_ELEMENTS).map(logged);
    return value.length > MAX_LOGGED_ELEMENTS ? [...all, `… and ${value.length - MAX_LOGGED_ELEMENTS} more`] : all;
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, of]) => [key, logged(of)]));
}
