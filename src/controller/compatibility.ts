import { isDeepStrictEqual } from 'node:util';
import { alreadyExists } from '../errors.ts';
import type { Claim } from '../kubernetes/claim.ts';
import { allowsNode } from '../request/topology.ts';
import type { Volume, VolumeSpec } from '../volumes/volume.ts';
import { isWithin } from './capacity.ts';
import type { CreateRequest } from './create-request.ts';

type Content = Pick<VolumeSpec, 'content' | 'userNamespace'>;

/** Throws ALREADY_EXISTS, saying what differs, unless the existing volume of this name meets the request, on whichever node it is. */
export function requireCompatible({ spec }: Volume, request: CreateRequest): void {
  const exists = (how: string) => alreadyExists(`volume "${request.volumeName}" exists already, ${how}`);
  const parameter = differingParameter(spec, request);
  if (parameter !== undefined) throw exists(`with another ${parameter}`);
  const more = request.accessModes.filter((mode) => !spec.accessModes.includes(mode));
  if (more.length > 0) throw exists(`for ${spec.accessModes.join(', ')} and not for ${more.join(', ')}`);
  if (!isWithin(request.capacity, spec.capacityBytes)) throw exists(`with a capacity of ${spec.capacityBytes} bytes`);
  if (!isDeepStrictEqual(spec.claim, request.claim))
    throw exists(`for ${name(spec.claim)} and not for ${name(request.claim)}`);
}

/** Whether the volume's node meets the request. */
export function isAllowedThere({ spec: { nodeName } }: Volume, { topology }: CreateRequest): boolean {
  return nodeName === undefined || allowsNode(topology, nodeName);
}

function name(claim: Claim | undefined): string {
  return claim === undefined ? 'no claim' : `claim ${claim.namespace}/${claim.name}`;
}

/** The StorageClass parameter that differs between two volumes: "parameters.maps". */
export function differingParameter(a: Content, b: Content): string | undefined {
  if (a.content.type !== b.content.type) return 'parameters.type';
  if (!isDeepStrictEqual(a.content, b.content))
    return a.content.type === 'maps' ? 'parameters.maps' : 'parameters.newMaps';
  return a.userNamespace === b.userNamespace ? undefined : 'parameters.hostUsers';
}
