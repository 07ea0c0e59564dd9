import { invalidArgument } from '../errors.ts';
import { didYouMean } from '../maps/nearest.ts';
import { parseHostUsers } from '../request/host-users.ts';
import { formatMapList, parseMapList } from '../request/map-list.ts';
import { quote } from '../text.ts';
import { parseNewMaps } from '../volumes/new-maps.ts';
import type { VolumeSpec } from '../volumes/volume.ts';

/** What the parameters say: those of the StorageClass, and external-provisioner's about the claim. */
export type Parameters = Pick<VolumeSpec, 'content' | 'userNamespace' | 'claim'>;

type Given = Readonly<Record<string, string>>;

const TYPES = ['maps', 'shared', 'workspace'] as const;
type Type = (typeof TYPES)[number];

/** The parameters that a StorageClass may have. */
const PARAMETERS = ['type', 'maps', 'newMaps', 'hostUsers'];

/** Prefix of what external-provisioner's --extra-create-metadata says of the claim; it may say more. */
const FROM_KUBERNETES = 'csi.storage.k8s.io/';

/** Throws INVALID_ARGUMENT naming the StorageClass's parameter that its author has to change. */
export function parseParameters(given: Given): Parameters {
  for (const key of Object.keys(given)) {
    if (PARAMETERS.includes(key) || key.startsWith(FROM_KUBERNETES)) continue;
    throw invalidArgument(
      `parameters.${quote(key).slice(1, -1)}`,
      `unknown parameter${didYouMean(key, PARAMETERS) || ';'} known: ${PARAMETERS.join(', ')}`,
    );
  }
  const type = parseType(given.type);
  for (const [parameter, only] of [
    ['maps', 'maps'],
    ['newMaps', 'shared'],
  ] as const) {
    if (type !== only && given[parameter] !== undefined)
      throw invalidArgument(
        `parameters.${parameter}`,
        `only for type ${only}, and parameters.type is ${type}; remove one of them`,
      );
  }
  const { userNamespace } = parseHostUsers(given.hostUsers, 'parameters.hostUsers');
  if (userNamespace && type === 'workspace') {
    throw invalidArgument(
      'parameters.hostUsers',
      '"false" is not possible with type workspace: a bpf filesystem cannot be mapped to other users; leave it out, and let the pods have hostUsers: true',
    );
  }
  return { content: parseContent(type, given), userNamespace, claim: parseClaim(given) };
}

function parseType(text = 'maps'): Type {
  const type = TYPES.find((each) => each === text);
  if (type !== undefined) return type;
  throw invalidArgument(
    'parameters.type',
    `unknown type ${quote(text)}${didYouMean(text, TYPES) || ';'} known: ${TYPES.join(', ')}`,
  );
}

function parseContent(type: Type, { maps, newMaps }: Given): VolumeSpec['content'] {
  if (type === 'workspace') return { type };
  if (type === 'maps') {
    if (maps === undefined)
      throw invalidArgument('parameters.maps', 'required for type maps; write for example "flows, limits:rw"');
    return { type, maps: formatMapList(parseMapList(maps, 'parameters.maps')) };
  }
  if (newMaps === undefined)
    throw invalidArgument('parameters.newMaps', 'required for type shared: a YAML list of the maps to make');
  return { type, newMaps: parseNewMaps(newMaps) };
}

function parseClaim(given: Given): VolumeSpec['claim'] {
  const name = given[`${FROM_KUBERNETES}pvc/name`];
  const namespace = given[`${FROM_KUBERNETES}pvc/namespace`];
  return name && namespace ? { namespace, name } : undefined;
}
