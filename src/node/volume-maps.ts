import type { WantedMap } from '../access/authorize.ts';
import type { Catalog } from '../catalog/catalog.ts';
import { didYouMean } from '../catalog/nearest.ts';
import { invalidArgument, notFound } from '../errors.ts';
import { Access, type VolumeMap } from '../rpc/generated/pinner.ts';
import type { MapRequest } from './map-list.ts';

/** Throws NOT_FOUND with the nearest names for a map that the catalog does not have. */
export function findMaps(requested: readonly MapRequest[], catalog: Catalog): readonly WantedMap[] {
  return requested.map(({ name, verb }) => {
    const map = catalog.find(name);
    if (map === undefined) throw notFound(`there is no BpfMap "${name}"${didYouMean(name, catalog.names())}`);
    return { map, verb };
  });
}

/** The files of a volume, as the pinner takes them. Throws INVALID_ARGUMENT when two maps would be one file. */
export function toVolumeMaps(wanted: readonly WantedMap[]): VolumeMap[] {
  const owners = new Map<string, string>();
  return wanted.map(({ map: { name, fileName, source }, verb }) => {
    const owner = owners.get(fileName);
    if (owner !== undefined) {
      throw invalidArgument(
        'volumeAttributes.maps',
        `"${owner}" and "${name}" both have the fileName "${fileName}"; use one volume for each`,
      );
    }
    owners.set(fileName, name);
    return { name, fileName, access: verb === 'write' ? Access.READ_WRITE : Access.READ_ONLY, source };
  });
}
