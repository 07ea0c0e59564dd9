import { invalidArgument } from '../errors.ts';
import { chooseNode } from '../request/topology.ts';
import { parseVolumeCapability } from '../request/volume-capability.ts';
import type { CapacityRange, CreateVolumeRequest, TopologyRequirement } from '../rpc/csi.ts';
import type { VolumeContent, VolumeSpec } from '../volumes/volume.ts';
import { chooseCapacity } from './capacity.ts';
import { type Parameters, parseParameters } from './parameters.ts';

/** A requested volume, checked as far as the request alone allows. */
export interface CreateRequest extends Parameters, Pick<VolumeSpec, 'volumeName' | 'accessModes' | 'capacityBytes'> {
  readonly capacity: CapacityRange | null;
  readonly topology: TopologyRequirement | null;
}

/** CSI's limit for strings. */
const MAX_NAME_BYTES = 128;

/** Throws INVALID_ARGUMENT naming the field of the claim or StorageClass to change, and OUT_OF_RANGE for an impossible capacity. */
export function parseCreateRequest(request: CreateVolumeRequest): CreateRequest {
  const { name: volumeName, capacityRange: capacity } = request;
  if (volumeName === '') throw invalidArgument('name', 'required');
  if (Buffer.byteLength(volumeName) > MAX_NAME_BYTES)
    throw invalidArgument('name', `has ${Buffer.byteLength(volumeName)} bytes, and may have ${MAX_NAME_BYTES}`);
  if (request.volumeContentSource !== null)
    throw invalidArgument('dataSource', 'a volume cannot be made from a snapshot or another volume; leave it out');
  if (Object.keys(request.mutableParameters).length > 0)
    throw invalidArgument('volumeAttributesClassName', 'a volume has no attributes that can be changed; leave it out');
  if (request.volumeCapabilities.length === 0) throw invalidArgument('volume_capabilities', 'required');
  const parameters = parseParameters(request.parameters);
  const reach = reachOf(parameters.content);
  const modes = request.volumeCapabilities.map((capability) => parseVolumeCapability(capability, reach).mode);
  return {
    ...parameters,
    volumeName,
    accessModes: [...new Set(modes)].sort(),
    capacityBytes: chooseCapacity(capacity, parameters.content),
    capacity,
    topology: request.accessibilityRequirements,
  };
}

/** The volume to create. `defaultNode`: for a caller that requests no topology. Throws RESOURCE_EXHAUSTED when no node is possible. */
export function toVolumeSpec(request: CreateRequest, defaultNode: string | undefined): VolumeSpec {
  const { capacity: _, topology, ...spec } = request;
  const nodeName = reachOf(spec.content) === 'node' ? chooseNode(topology, defaultNode) : undefined;
  return { ...spec, nodeName };
}

/** Where a volume can be used: see parseVolumeCapability. */
export function reachOf({ type }: VolumeContent): 'everywhere' | 'node' {
  return type === 'maps' ? 'everywhere' : 'node';
}
