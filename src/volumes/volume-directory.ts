import { randomUUID } from 'node:crypto';
import { accessSync, type BigIntStats, constants, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { BadConfiguration, CallError, Code, unavailable } from '../errors.ts';
import { toBpfVolume } from './bpf-volume.ts';
import { createVolumeFile, isTemporary, readVolumeFile, removeVolumeFile, syncDirectory } from './volume-file.ts';
import { nameInVolumeId, objectName } from './volume-id.ts';
import { type ReadVolume, toListing, type VolumeReader, type VolumeStore } from './volume-store.ts';

const SUFFIX = '.json';

/** A file as `list` saw it last. */
interface Seen extends ReadVolume {
  readonly version: string;
}

/**
 * Persistent volumes in a directory, a file for each: see bpfVolumeSchema. The directory need not be there yet; as long as it
 * cannot be read, everything throws UNAVAILABLE.
 */
export function readVolumeDirectory(directory: string): VolumeReader {
  let seen: ReadonlyMap<string, Seen> = new Map();
  return {
    async get(id) {
      const name = nameInVolumeId(id);
      const volume = name === undefined ? undefined : readVolumeFile(directory, name);
      return volume?.id === id ? volume : undefined;
    },

    async list() {
      seen = look(directory, seen);
      return toListing([...seen.values()]);
    },
  };
}

/**
 * The same for the one who makes volumes. Several processes may create in one directory at a time, but each volume is deleted
 * by one only. Throws BadConfiguration if the directory cannot be read and written.
 */
export function openVolumeDirectory(directory: string): VolumeStore {
  try {
    accessSync(`${directory}/.`, constants.R_OK | constants.W_OK | constants.X_OK);
    for (const file of readdirSync(directory)) if (isTemporary(file)) rmSync(join(directory, file), { force: true });
  } catch (error) {
    throw new BadConfiguration([`cannot keep volumes in ${directory}: ${(error as Error).message}`]);
  }
  return {
    ...readVolumeDirectory(directory),

    async create(spec) {
      const name = objectName(spec.volumeName);
      if (readVolumeFile(directory, name) === undefined) {
        await createVolumeFile(directory, toBpfVolume(spec, randomUUID()));
      }
      const volume = readVolumeFile(directory, name);
      if (volume === undefined) throw unavailable(`volume ${name} was deleted while it was created; try again`);
      // Of a file that was there already, nobody knows whether its writer lived to do this.
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

/** Reads again only what has changed. */
function look(directory: string, before: ReadonlyMap<string, Seen>): ReadonlyMap<string, Seen> {
  const now = new Map<string, Seen>();
  for (const file of readDirectory(directory)) {
    if (!file.endsWith(SUFFIX) || file.startsWith('.')) continue;
    // The version first: a change while reading is then seen the next time.
    const version = versionOf(statSync(join(directory, file), { bigint: true, throwIfNoEntry: false }));
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

function versionOf(stat: BigIntStats | undefined): string {
  if (stat === undefined) return 'absent';
  const { dev, ino, size, mtimeNs, ctimeNs } = stat;
  return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`;
}
