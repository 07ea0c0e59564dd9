import { randomUUID } from 'node:crypto';
import { accessSync, constants, readFileSync } from 'node:fs';
import { link, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BadConfiguration, CallError, internal, unavailable } from '../errors.ts';
import { parseManifests } from '../manifest/manifest.ts';
import { fromBpfVolume } from './bpf-volume.ts';
import { type BpfVolumeObject, bpfVolumeSchema } from './bpf-volume-schema.ts';
import type { Volume } from './volume.ts';
import { objectName } from './volume-id.ts';

/** Temporary files, which a writer that dies leaves behind. */
const TEMPORARY = /^\.[0-9a-f-]{36}\.tmp$/;

/**
 * The volume in the file `<name>.json`; undefined: no such file. Throws INTERNAL naming the file if it is invalid, and UNAVAILABLE if its
 * directory cannot be read.
 *
 * Synchronous, as is all reading of volumes: a file takes a few microseconds, a promise for it several times that.
 */
export function readVolumeFile(directory: string, name: string): Volume | undefined {
  const path = volumePath(directory, name);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    requireDirectory(directory);
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw damaged(path, (error as Error).message);
  }
  return parse(path, name, text);
}

/** Throws UNAVAILABLE unless the directory can be read: otherwise it is unknown which volumes exist. */
export function requireDirectory(directory: string): void {
  try {
    accessSync(`${directory}/.`, constants.R_OK | constants.X_OK);
  } catch (error) {
    throw unavailable(`cannot read the volumes: ${(error as Error).message}`, error);
  }
}

/**
 * Writes an object to its file; returns false if the file exists already. On return the file is complete, also after a power loss; if the
 * process is killed before, it is complete or absent. Throws UNAVAILABLE.
 */
export async function createVolumeFile(directory: string, object: BpfVolumeObject): Promise<boolean> {
  const path = volumePath(directory, object.metadata.name);
  try {
    // Another process that starts removes the temporary file as a dead writer's: then write it again.
    for (;;) {
      const temporary = join(directory, `.${randomUUID()}.tmp`);
      try {
        await writeDurably(temporary, `${JSON.stringify(object, undefined, 2)}\n`);
        // Unlike rename(2), link(2) fails when the name is taken.
        await link(temporary, path);
        return true;
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'EEXIST') return false;
        if (code !== 'ENOENT') throw error;
        requireDirectory(directory);
      } finally {
        await rm(temporary, { force: true });
      }
    }
  } catch (error) {
    if (error instanceof CallError) throw error;
    throw unavailable(`cannot write ${path}: ${(error as Error).message}`, error);
  }
}

/** Removes a volume's file if it exists. Throws UNAVAILABLE. */
export async function removeVolumeFile(directory: string, name: string): Promise<void> {
  const path = volumePath(directory, name);
  try {
    await rm(path, { force: true });
  } catch (error) {
    throw unavailable(`cannot remove ${path}: ${(error as Error).message}`, error);
  }
}

/** Makes created and removed files of a directory survive a power loss. Throws UNAVAILABLE. */
export async function syncDirectory(directory: string): Promise<void> {
  try {
    const handle = await open(directory);
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw unavailable(`cannot write ${directory}: ${(error as Error).message}`, error);
  }
}

/** Whether a file of this name is a temporary file of createVolumeFile. */
export function isTemporary(fileName: string): boolean {
  return TEMPORARY.test(fileName);
}

function volumePath(directory: string, name: string): string {
  return join(directory, `${name}.json`);
}

async function writeDurably(path: string, text: string): Promise<void> {
  const handle = await open(path, 'wx', 0o644);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function parse(path: string, name: string, text: string): Volume {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    throw damaged(path, text.trim() === '' ? 'it is empty' : 'it is no JSON');
  }
  const parsed = bpfVolumeSchema.safeParse(content);
  if (!parsed.success) throw damaged(path, firstProblem(path, text));
  const { metadata, spec } = parsed.data;
  if (metadata.name !== name) throw damaged(path, `it holds "${metadata.name}"`);
  if (objectName(spec.volumeName) !== name) throw damaged(path, `its volumeName is "${spec.volumeName}"`);
  return fromBpfVolume(parsed.data);
}

/** JSON is YAML, and problems of a manifest have line numbers. */
function firstProblem(path: string, text: string): string {
  try {
    parseManifests(text, path, bpfVolumeSchema);
  } catch (error) {
    if (error instanceof BadConfiguration) return error.problems[0] ?? error.message;
  }
  return 'it is no BpfVolume';
}

function damaged(path: string, why: string): CallError {
  return internal(
    `${path} is damaged: ${why}; restore it, or remove it when no PersistentVolume and no pod needs the volume any more`,
  );
}
