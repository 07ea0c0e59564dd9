import type { BpfVolumeObject } from './bpf-volume-schema.ts';
import type { Binding, Volume, VolumeContent, VolumeSpec } from './volume.ts';
import { objectName, volumeId } from './volume-id.ts';

type Spec = BpfVolumeObject['spec'];

/** The object of a volume that is created now. */
export function toBpfVolume(spec: VolumeSpec, uid: string): BpfVolumeObject {
  return {
    apiVersion: 'bpffs.dev/v1alpha1',
    kind: 'BpfVolume',
    metadata: { name: objectName(spec.volumeName), uid, creationTimestamp: new Date().toISOString() },
    spec: toSpec(spec),
  };
}

export function fromBpfVolume({ metadata: { name, uid, creationTimestamp }, spec, status }: BpfVolumeObject): Volume {
  const { volumeName, hostUsers = true, accessModes, capacityBytes = 0, claimRef: claim } = spec;
  return {
    id: volumeId(name, uid),
    createdAt: new Date(creationTimestamp),
    binding: status?.phase === 'Bound' ? { phase: status.phase, claim: status.claimRef } : status,
    spec: {
      volumeName,
      content: contentOf(spec),
      userNamespace: !hostUsers,
      accessModes,
      capacityBytes,
      nodeName: spec.type === 'maps' ? undefined : spec.nodeName,
      claim,
      ...(spec.type === 'workspace' && ownership(spec)),
    },
  };
}

/** The status of the volume's object. */
export function toStatus(binding: Binding): NonNullable<BpfVolumeObject['status']> {
  return binding.phase === 'Bound' ? { phase: binding.phase, claimRef: binding.claim } : binding;
}

function toSpec({ volumeName, content, userNamespace, nodeName, claim, ...rest }: VolumeSpec): Spec {
  const common = {
    ...(userNamespace && { hostUsers: false }),
    accessModes: [...rest.accessModes],
    ...(rest.capacityBytes > 0 && { capacityBytes: rest.capacityBytes }),
    ...(claim !== undefined && { claimRef: claim }),
  };
  if (content.type === 'maps') return { volumeName, ...content, ...common };
  if (nodeName === undefined) throw new TypeError(`a volume of type ${content.type} is on one node`);
  if (content.type === 'workspace') return { volumeName, ...content, nodeName, ...common, ...ownership(rest) };
  const newMaps = content.newMaps.map(({ inner, ...map }) => ({
    ...map,
    flags: [...map.flags],
    ...(inner !== undefined && { inner: { ...inner, flags: [...inner.flags] } }),
  }));
  return { volumeName, type: content.type, newMaps, nodeName, ...common };
}

function contentOf(spec: Spec): VolumeContent {
  if (spec.type === 'maps') return { type: spec.type, maps: spec.maps };
  if (spec.type === 'shared') return { type: spec.type, newMaps: spec.newMaps };
  return { type: spec.type };
}

function ownership({ owner, ownerProblem }: Pick<VolumeSpec, 'owner' | 'ownerProblem'>) {
  return { ...(owner !== undefined && { owner }), ...(ownerProblem !== undefined && { ownerProblem }) };
}
