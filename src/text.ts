/**
 * Texts for people: errors, log lines, events. Invisible characters are escaped, because a text may quote input that is meant to mislead.
 * Texts are truncated, because quoted input may have any length.
 */

/** Bytes of a status message, percent-encoded in an HTTP/2 header: all headers together may have 8 to 16 KiB. */
export const MAX_STATUS_BYTES = 2048;

/** Bytes of a string in a log line. */
export const MAX_LOGGED_BYTES = 2048;

/** Elements of a list in a log line. */
export const MAX_LOGGED_ELEMENTS = 32;

/** Characters of quoted input in an error message. */
const MAX_QUOTE_LENGTH = 64;

/** Control characters, spaces other than " ", characters that are drawn as nothing or change the direction, and unpaired surrogates. */
const INVISIBLE = /(?! )[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}\u2800]/gu;

/** Matches most texts, ten times faster than INVISIBLE. */
const PRINTABLE_ASCII = /^[ -~]*$/;

/** Escapes invisible characters as `\u{200b}`, as the pinner does. */
export function visible(text: string): string {
  if (PRINTABLE_ASCII.test(text)) return text;
  return text.replace(INVISIBLE, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
}

/** Quotes user input for an error message, and truncates it. */
export function quote(text: string): string {
  const cut = text.length > MAX_QUOTE_LENGTH ? `${text.slice(0, MAX_QUOTE_LENGTH)}…` : text;
  return visible(JSON.stringify(cut));
}

/**
 * Makes a text visible, truncates it to `maxBytes` and says how much was left out. `size`: bytes of a character; default: its UTF-8 length.
 */
export function cut(text: string, maxBytes: number, size: (character: string) => number = Buffer.byteLength): string {
  // Every character has at least one byte: what lies beyond `maxBytes` cannot fit.
  const shown = visible(text.slice(0, maxBytes));
  const beyond = Math.max(0, text.length - maxBytes);
  // Every character has at most twelve bytes when percent-encoded.
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

/** The longest suffix that `cut` adds, percent-encoded. */
const LONGEST_SUFFIX = '%E2%80%A6%20and%201234567890%20more%20characters';

/** Prepares the message of a gRPC status. */
export function statusText(text: string): string {
  return cut(text, MAX_STATUS_BYTES, (character) => encodeURI(character).length);
}

/** Prepares a value for the log: strings and lists are truncated, at any depth. */
export function logged(value: unknown): unknown {
  if (typeof value === 'string') return cut(value, MAX_LOGGED_BYTES);
  if (Array.isArray(value)) {
    const all = value.slice(0, MAX_LOGGED_ELEMENTS).map(logged);
    return value.length > MAX_LOGGED_ELEMENTS ? [...all, `… and ${value.length - MAX_LOGGED_ELEMENTS} more`] : all;
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, of]) => [key, logged(of)]));
}
