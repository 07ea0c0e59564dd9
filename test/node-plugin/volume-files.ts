import { status as Code } from '@grpc/grpc-js';
import {
  Access,
  type FileChange,
  FileChange_Kind as Kind,
  type MapRefusal,
  type PublishVolumeRequest,
  type Source,
  type VolumeMap,
} from '../../src/rpc/pinner.ts';

/** A file of a volume, as the kernel has it. */
export interface VolumeFile {
  /** The BpfMap of its origin, as the mark records it. */
  readonly name: string;
  readonly mapId: number;
  readonly access: Access;
}

/** The files of a volume after a publish, and the maps whose sources are unavailable. */
export interface PublishedFiles {
  readonly files: VolumeFiles;
  readonly refusals: MapRefusal[];
}

/** By file name. */
export type VolumeFiles = ReadonlyMap<string, VolumeFile>;

/** The id of a source's map; undefined if it is unavailable. */
export type FindMap = (source: Source) => number | undefined;

/**
 * The files of a volume after PublishVolume, by the rules of pinner.proto. `there`: the files that it has, undefined for a new
 * one. Throws the pinner's status.
 */
export function publishFiles(
  there: VolumeFiles | undefined,
  { targetPath, maps, renew }: PublishVolumeRequest,
  find: FindMap,
): PublishedFiles {
  const statusError = (code: Code, details: string) => ({ code, details });
  if (maps.length === 0 && (there === undefined || !renew)) throw statusError(Code.INVALID_ARGUMENT, 'maps: has none');
  const files = new Map<string, VolumeFile>();
  const refusals: MapRefusal[] = [];
  const claimed = new Map<string, VolumeMap>();
  for (const map of maps) {
    const { name, fileName, access, source } = map;
    const other = claimed.get(fileName);
    if (other !== undefined && (other.source ?? source) !== null) {
      throw statusError(Code.INVALID_ARGUMENT, `file_name: "${fileName}" is given twice`);
    }
    claimed.set(fileName, map);
    if (source === null && there === undefined) throw statusError(Code.INVALID_ARGUMENT, `source: map "${name}"`);
    const mapId = source === null ? undefined : find(source);
    const kept = there?.get(fileName);
    const message = `map "${name}": nothing is pinned there yet`;
    if (mapId !== undefined) {
      files.set(fileName, { name, mapId, access });
      continue;
    }
    if (there === undefined || !renew) throw statusError(Code.UNAVAILABLE, message);
    if (source !== null) refusals.push({ name, code: Code.UNAVAILABLE, message });
    if (kept?.name === name) files.set(fileName, { ...kept, access: lesser(access, kept.access) });
  }
  if (there !== undefined && !renew && !isSame(there, files)) {
    throw statusError(Code.ALREADY_EXISTS, `${targetPath} was published before with other maps`);
  }
  return { files, refusals };
}

/** In the pinner's form. */
export function changesBetween(there: VolumeFiles, now: VolumeFiles): FileChange[] {
  const changes: FileChange[] = [];
  for (const [path, { mapId, access }] of now) {
    const before = there.get(path);
    const add = (kind: Kind) => changes.push({ path, kind });
    if (before === undefined) add(Kind.ADDED);
    else if (before.mapId !== mapId) add(Kind.MAP_REPLACED);
    else if (before.access !== access) add(access === Access.READ_WRITE ? Kind.MADE_WRITABLE : Kind.MADE_READ_ONLY);
  }
  for (const path of there.keys()) if (!now.has(path)) changes.push({ path, kind: Kind.REMOVED });
  return changes;
}

function lesser(one: Access, other: Access): Access {
  return one === Access.READ_WRITE ? other : one;
}

function isSame(there: VolumeFiles, now: VolumeFiles): boolean {
  const shape = (files: VolumeFiles) => JSON.stringify([...files].map(([path, { access }]) => [path, access]).sort());
  return shape(there) === shape(now);
}
