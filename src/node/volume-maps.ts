import type { WantedMap } from '../access/authorize.ts';
import type { BpfMap, Catalog } from '../catalog/catalog.ts';
import { didYouMean } from '../catalog/nearest.ts';
import { type CallError, invalidArgument, notFound } from '../errors.ts';
import { Access, type Source, type VolumeMap } from '../rpc/generated/pinner.ts';
import type { MapRequest } from '../volumes/map-list.ts';

/**
 * From a BpfMap to a source that the pinner of this node understands. Throws UNAVAILABLE while there is none, and
 * FAILED_PRECONDITION where somebody has to change something first.
 */
export type ResolveSource = (map: BpfMap) => Source | Promise<Source>;

/** What the catalog has of a list of maps; `missing`: NOT_FOUND, with the nearest names, for the first that it has not. */
export interface FoundMaps {
  readonly found: readonly WantedMap[];
  readonly missing: CallError | undefined;
}

export function findMaps(requested: readonly MapRequest[], catalog: Catalog): FoundMaps {
  const found: WantedMap[] = [];
  let missing: CallError | undefined;
  for (const { name, verb } of requested) {
    const map = catalog.find(name);
    if (map === undefined) missing ??= notFound(`there is no BpfMap "${name}"${didYouMean(name, catalog.names())}`);
    else found.push({ map, verb });
  }
  return { found, missing };
}

/**
 * The files of a volume, as the pinner takes them. What is wrong with one goes to `refuse`: INVALID_ARGUMENT of two maps that would
 * be one file, and whatever `resolve` throws. If `refuse` lets it pass, the file has no source and stays as it is.
 */
export async function toVolumeMaps(
  wanted: readonly WantedMap[],
  resolve: ResolveSource,
  refuse: (error: unknown) => Promise<void>,
): Promise<VolumeMap[]> {
  const files = new Map<string, VolumeMap>();
  for (const { map, verb } of wanted) {
    const { name, fileName } = map;
    const access = verb === 'write' ? Access.READ_WRITE : Access.READ_ONLY;
    const other = files.get(fileName);
    if (other !== undefined) {
      const both = `"${other.name}" and "${name}" both have the fileName "${fileName}"; use one volume for each`;
      await refuse(invalidArgument('volumeAttributes.maps', both));
      // Whose file it is cannot be told, so that what may not be done with each of them is not done with it.
      const least = access === Access.READ_ONLY ? access : other.access;
      files.set(fileName, { ...other, source: undefined, access: least });
      continue;
    }
    let source: Source | undefined;
    try {
      const resolved = resolve(map);
      source = resolved instanceof Promise ? await resolved : resolved;
    } catch (error) {
      await refuse(error);
    }
    files.set(fileName, { name, fileName, access, source });
  }
  return [...files.values()];
}
