import type { WantedMap } from '../access/authorize.ts';
import type { BpfMap, Catalog } from '../catalog/catalog.ts';
import { didYouMean } from '../catalog/nearest.ts';
import { invalidArgument, notFound } from '../errors.ts';
import { Access, type Source, type VolumeMap } from '../rpc/generated/pinner.ts';
import type { MapRequest } from '../volumes/map-list.ts';

/** From a BpfMap to a source that the pinner of this node understands. Throws UNAVAILABLE while there is none. */
export type ResolveSource = (map: BpfMap) => Source | Promise<Source>;

/** Throws NOT_FOUND with the nearest names for a map that the catalog does not have. */
export function findMaps(requested: readonly MapRequest[], catalog: Catalog): readonly WantedMap[] {
  return requested.map(({ name, verb }) => {
    const map = catalog.find(name);
    if (map === undefined) throw notFound(`there is no BpfMap "${name}"${didYouMean(name, catalog.names())}`);
    return { map, verb };
  });
}

/** The files of a volume, as the pinner takes them. Throws INVALID_ARGUMENT when two maps would be one file. */
export async function toVolumeMaps(wanted: readonly WantedMap[], resolve: ResolveSource): Promise<VolumeMap[]> {
  const owners = new Map<string, string>();
  const files: VolumeMap[] = [];
  for (const { map, verb } of wanted) {
    const { name, fileName } = map;
    const owner = owners.get(fileName);
    if (owner !== undefined) {
      throw invalidArgument(
        'volumeAttributes.maps',
        `"${owner}" and "${name}" both have the fileName "${fileName}"; use one volume for each`,
      );
    }
    owners.set(fileName, name);
    const access = verb === 'write' ? Access.READ_WRITE : Access.READ_ONLY;
    const source = resolve(map);
    files.push({ name, fileName, access, source: source instanceof Promise ? await source : source });
  }
  return files;
}
