import { isDeepStrictEqual } from 'node:util';
import { alreadyExists, resourceExhausted } from '../errors.ts';
import { allowsNode } from '../volumes/topology.ts';
import type { Volume, VolumeSpec } from '../volumes/volume.ts';
import { isWithin } from './capacity.ts';
import type { CreateRequest } from './create-request.ts';

type Content = Pick<VolumeSpec, 'content' | 'userNamespace'>;

/**
 * Throws unless the volume that has the name already is what is asked for: ALREADY_EXISTS saying what differs, or
 * RESOURCE_EXHAUSTED when it is on a node that is not allowed.
 */
export function requireCompatible({ id, spec }: Volume, asked: CreateRequest): void {
  const exists = (how: string) => alreadyExists(`volume "${asked.volumeName}" exists already, ${how}`);
  const parameter = differingParameter(spec, asked);
  if (parameter !== undefined) throw exists(`with another ${parameter}`);
  const more = asked.accessModes.filter((mode) => !spec.accessModes.includes(mode));
  if (more.length > 0) throw exists(`for ${spec.accessModes.join(', ')} and not for ${more.join(', ')}`);
  if (!isWithin(asked.capacity, spec.capacityBytes)) throw exists(`with a capacity of ${spec.capacityBytes} bytes`);
  if (spec.nodeName !== undefined && !allowsNode(asked.topology, spec.nodeName)) {
    throw resourceExhausted(
      `volume ${id} exists already, in the memory of node ${spec.nodeName}, which is not allowed`,
    );
  }
}

/** The parameter of a StorageClass in which two volumes are not the same: "parameters.maps". */
export function differingParameter(a: Content, b: Content): string | undefined {
  if (a.content.type !== b.content.type) return 'parameters.type';
  if (!isDeepStrictEqual(a.content, b.content))
    return a.content.type === 'maps' ? 'parameters.maps' : 'parameters.newMaps';
  return a.userNamespace === b.userNamespace ? undefined : 'parameters.hostUsers';
}
