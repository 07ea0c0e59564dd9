import { randomUUID } from 'node:crypto';
import { accessSync, closeSync, constants, existsSync, openSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { BadConfiguration, CallError, Code, unavailable } from '../errors.ts';
import { fileVersion } from '../manifest/file-version.ts';
import { toBpfVolume } from './bpf-volume.ts';
import type { Volume } from './volume.ts';
import { createVolumeFile, isTemporary, readVolumeFile, removeVolumeFile, syncDirectory } from './volume-file.ts';
import { nameInVolumeId, objectName } from './volume-id.ts';
import { type ReadVolume, toListing, type VolumeReader, type VolumeStore } from './volume-store.ts';

const SUFFIX = '.json';

/**
 * A file in every directory that a volume was ever created in. Without it, a missing volume may still exist: the directory may be a mount
 * point without its filesystem.
 */
const MARKER = '.volumes';

/** A file as `list` last read it. */
interface Seen extends ReadVolume {
  readonly version: string;
}

/**
 * Reads persistent volumes from a directory with a file for each: see bpfVolumeSchema. The directory may appear later. While it cannot be
 * read, everything throws UNAVAILABLE, and so does `get` for a missing volume while the directory has no marker.
 */
export function readVolumeDirectory(directory: string): VolumeReader {
  let seen: ReadonlyMap<string, Seen> = new Map();
  return {
    async get(id) {
      const volume = find(directory, id);
      if (volume === undefined && !existsSync(join(directory, MARKER))) {
        throw unavailable(
          `nobody has made a volume in ${directory} yet, or it is not mounted: it has no file ${MARKER}, with which the controller begins`,
        );
      }
      return volume;
    },

    async list() {
      seen = look(directory, seen);
      return toListing([...seen.values()]);
    },
  };
}

/**
 * Opens a directory for the controller. Several processes may create volumes in it at a time, but only one may delete a given volume.
 * Throws BadConfiguration if the directory cannot be read and written.
 */
export function openVolumeDirectory(directory: string): VolumeStore {
  try {
    accessSync(`${directory}/.`, constants.R_OK | constants.W_OK | constants.X_OK);
    const files = readdirSync(directory);
    for (const file of files) if (isTemporary(file)) rmSync(join(directory, file), { force: true });
    // Volumes from before there were markers.
    if (files.some(isVolume)) mark(directory);
  } catch (error) {
    throw new BadConfiguration([`--volumes: cannot keep volumes in ${directory}: ${(error as Error).message}`]);
  }
  return {
    ...readVolumeDirectory(directory),

    get: async (id) => find(directory, id),

    async create(spec) {
      const name = objectName(spec.volumeName);
      if (readVolumeFile(directory, name) === undefined) {
        mark(directory);
        await createVolumeFile(directory, toBpfVolume(spec, randomUUID()));
      }
      const volume = readVolumeFile(directory, name);
      if (volume === undefined) throw unavailable(`volume ${name} was deleted while it was created; try again`);
      // The writer of an existing file may have died before it did this.
      await syncDirectory(directory);
      return volume;
    },

    async delete(id) {
      const name = nameInVolumeId(id);
      if (name === undefined) return;
      if (readVolumeFile(directory, name)?.id === id) await removeVolumeFile(directory, name);
      await syncDirectory(directory);
    },

    isUnused: undefined,
  };
}

function find(directory: string, id: string): Volume | undefined {
  const name = nameInVolumeId(id);
  const volume = name === undefined ? undefined : readVolumeFile(directory, name);
  return volume?.id === id ? volume : undefined;
}

/** Durable once the directory is synced, as the volume's own file is. */
function mark(directory: string): void {
  try {
    closeSync(openSync(join(directory, MARKER), 'a', 0o644));
  } catch (error) {
    throw unavailable(`cannot write ${join(directory, MARKER)}: ${(error as Error).message}`, error);
  }
}

function isVolume(file: string): boolean {
  return file.endsWith(SUFFIX) && !file.startsWith('.');
}

/** Reads only files that have changed. */
function look(directory: string, before: ReadonlyMap<string, Seen>): ReadonlyMap<string, Seen> {
  const now = new Map<string, Seen>();
  for (const file of readDirectory(directory)) {
    if (!isVolume(file)) continue;
    // Taken first, so that a change while reading is noticed the next time.
    const version = fileVersion(statSync(join(directory, file), { bigint: true, throwIfNoEntry: false }));
    const known = before.get(file);
    now.set(file, known?.version === version ? known : { version, ...read(directory, file.slice(0, -SUFFIX.length)) });
  }
  return now;
}

function readDirectory(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    throw unavailable(`cannot read the volumes: ${(error as Error).message}`, error);
  }
}

function read(directory: string, name: string): ReadVolume {
  try {
    return { volume: readVolumeFile(directory, name) };
  } catch (error) {
    if (error instanceof CallError && error.code === Code.INTERNAL) return { damage: error.message };
    throw error;
  }
}
