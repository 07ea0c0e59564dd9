import { closeSync, fstatSync, openSync, readFileSync, statSync } from 'node:fs';
import { BadConfiguration } from '../errors.ts';
import { fileVersion } from './file-version.ts';

/** A file's last valid content. */
export interface ReloadedFile<T> {
  current(): T;
  close(): void;
}

/** The result of reading a changed file: its content is in use, or `problems` keep the former content in use. */
export type Reload = { readonly ok: true } | { readonly ok: false; readonly problems: readonly string[] };

/**
 * Reads and parses the file at `path`, and again whenever it is changed in place, by rename, or by a symbolic link that is replaced, as in
 * a mounted ConfigMap. Polls every `intervalMs`, because inotify reports none of these reliably; `fs.watchFile` polls too, but would miss a
 * change between the first read and its own first poll. The first read throws what `parse` throws, and BadConfiguration if the file cannot
 * be read.
 */
export function reloadFile<T>(
  path: string,
  parse: (text: string, path: string) => T,
  reloaded: (reload: Reload) => void,
  intervalMs = 1000,
): ReloadedFile<T> {
  let { text, version } = read(path);
  let current = parse(text, path);
  text = '';

  const look = () => {
    const seen = versionAt(path);
    if (seen === version) return;
    version = seen;
    try {
      const file = read(path);
      version = file.version;
      current = parse(file.text, path);
      reloaded({ ok: true });
    } catch (error) {
      reloaded({ ok: false, problems: error instanceof BadConfiguration ? error.problems : [String(error)] });
    }
  };
  const timer = setInterval(look, intervalMs).unref();
  return { current: () => current, close: () => clearInterval(timer) };
}

function read(path: string): { text: string; version: string } {
  try {
    const fd = openSync(path, 'r');
    try {
      // Taken first, so that a change while reading is noticed at the next poll.
      const version = fileVersion(fstatSync(fd, { bigint: true }));
      return { text: readFileSync(fd, 'utf8'), version };
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw new BadConfiguration([`cannot read ${path}: ${(error as Error).message}`]);
  }
}

function versionAt(path: string): string {
  try {
    return fileVersion(statSync(path, { bigint: true }));
  } catch (error) {
    return (error as Error).message;
  }
}
