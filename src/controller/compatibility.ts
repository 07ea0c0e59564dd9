import { isDeepStrictEqual } from 'node:util';
import { alreadyExists } from '../errors.ts';
import { type Claim, claimName } from '../kubernetes/claim.ts';
import { allowsNode } from '../request/topology.ts';
import { type AccessMode, nameInClaims } from '../request/volume-capability.ts';
import { quote } from '../text.ts';
import type { NewMap, Volume, VolumeSpec } from '../volumes/volume.ts';
import { isWithin } from './capacity.ts';
import type { CreateRequest } from './create-request.ts';

/** Maps that an error names. */
const MAX_NAMED = 4;

type Content = Pick<VolumeSpec, 'content' | 'userNamespace'>;

/** Throws ALREADY_EXISTS, saying what differs, unless the existing volume of this name meets the request, on whichever node it is. */
export function requireCompatible({ spec }: Volume, request: CreateRequest): void {
  const exists = (how: string) =>
    alreadyExists(
      `volume "${request.volumeName}" exists already, ${how}; a volume never changes: delete the claim and create it again`,
    );
  const parameter = differingParameter(spec, request);
  if (parameter !== undefined) throw exists(`with another ${parameter.name}: ${parameter.how}`);
  const more = request.accessModes.filter((mode) => !spec.accessModes.includes(mode));
  if (more.length > 0) throw exists(`with accessModes ${inClaims(spec.accessModes)} and not ${inClaims(more)}`);
  if (!isWithin(request.capacity, spec.capacityBytes))
    throw exists(`with ${spec.capacityBytes} bytes, which the claim's resources.requests.storage or limits exclude`);
  if (!isDeepStrictEqual(spec.claim, request.claim))
    throw exists(`for ${name(spec.claim)} and not for ${name(request.claim)}`);
}

/** Whether the volume's node meets the request. */
export function isAllowedThere({ spec: { nodeName } }: Volume, { topology }: CreateRequest): boolean {
  return nodeName === undefined || allowsNode(topology, nodeName);
}

function name(claim: Claim | undefined): string {
  return claim === undefined ? 'no claim' : `claim ${claimName(claim)}`;
}

/** A StorageClass parameter that differs between two volumes. */
interface Difference {
  /** "parameters.maps" */
  readonly name: string;
  /** What the existing volume has, and what is asked for, in a few words. */
  readonly how: string;
}

/** The first parameter in which a volume differs from what is requested. */
export function differingParameter(volume: Content, request: Content): Difference | undefined {
  const [has, wants] = [volume.content, request.content];
  if (has.type !== wants.type) return { name: 'parameters.type', how: `${has.type} and not ${wants.type}` };
  if (has.type === 'maps' && wants.type === 'maps' && has.maps !== wants.maps)
    return { name: 'parameters.maps', how: `${quote(has.maps)} and not ${quote(wants.maps)}` };
  if (has.type === 'shared' && wants.type === 'shared' && !isDeepStrictEqual(has.newMaps, wants.newMaps))
    return { name: 'parameters.newMaps', how: differingMaps(has.newMaps, wants.newMaps) };
  if (volume.userNamespace === request.userNamespace) return undefined;
  return { name: 'parameters.hostUsers', how: `"${!volume.userNamespace}" and not "${!request.userNamespace}"` };
}

/** Several modes of CSI have the same name in claims. */
function inClaims(modes: readonly AccessMode[]): string {
  return [...new Set(modes.map(nameInClaims))].join(', ');
}

function differingMaps(has: readonly NewMap[], wants: readonly NewMap[]): string {
  const find = (maps: readonly NewMap[], name: string) => maps.find((map) => map.name === name);
  const names = [...new Set([...has, ...wants].map(({ name }) => name))];
  const differing = names.filter((name) => !isDeepStrictEqual(find(has, name), find(wants, name)));
  if (differing.length === 0) return 'the same maps in another order';
  const more = differing.length > MAX_NAMED ? ` and ${differing.length - MAX_NAMED} more` : '';
  return `another definition of ${differing.slice(0, MAX_NAMED).map(quote).join(', ')}${more}`;
}
