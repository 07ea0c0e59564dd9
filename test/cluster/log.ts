import { readFile } from 'node:fs/promises';

const LINES = 15;

/** The last lines of a log, under its name, for an error message. */
export async function logTail(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return [`${file} ends with`, ...text.trimEnd().split('\n').slice(-LINES)].join('\n  ');
}
