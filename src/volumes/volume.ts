import type { Claim } from '../kubernetes/claim.ts';
import type { MapDefinition } from '../maps/map-definition.ts';
import type { AccessMode } from '../request/volume-capability.ts';

/** What a StorageClass's `type` makes of a volume. */
export type VolumeContent =
  /** Maps of the catalog, in the grammar of volumeAttributes.maps; each pod needs its own grant. */
  | { readonly type: 'maps'; readonly maps: string }
  /** Maps made for this volume, on its node. */
  | { readonly type: 'shared'; readonly newMaps: readonly NewMap[] }
  /** A bpffs that pods write to, on its node. */
  | { readonly type: 'workspace' };

/** A map that is made for one volume. */
export interface NewMap extends MapDefinition {
  /** The file's name in the volume: [A-Za-z0-9_-], at most 128, unique in it. */
  readonly name: string;
}

/** What was asked for: the spec of a BpfVolume object. */
export interface VolumeSpec {
  /** As CreateVolume named it. */
  readonly volumeName: string;
  readonly content: VolumeContent;
  /** The pods that use it have user namespaces of their own. */
  readonly userNamespace: boolean;
  /** Sorted. */
  readonly accessModes: readonly AccessMode[];
  /** Bytes; 0: none were asked for. */
  readonly capacityBytes: number;
  /** The node in whose memory it lives; undefined: it is the same on every node. */
  readonly nodeName: string | undefined;
  /** For which it was made, and to whose namespace it is bound for good; undefined where the provisioner did not say. */
  readonly claim: Claim | undefined;
}

/** Whose a volume is now, by its PersistentVolume. */
export type Binding =
  | { readonly phase: 'Bound'; readonly claim: Claim }
  /** Its claim is gone, and the PersistentVolume was retained, or is gone as well. */
  | { readonly phase: 'Released' };

/** A persistent volume that exists: a BpfVolume object. */
export interface Volume {
  /** CSI's volume_id: see volumeId. [a-z0-9-], at most 72. */
  readonly id: string;
  readonly spec: VolumeSpec;
  readonly createdAt: Date;
  /** Undefined: no PersistentVolume was seen yet, or there is no cluster that has them. */
  readonly binding: Binding | undefined;
}

/** The claim that a volume belongs to: as long as nothing else is known, the one that it was made for. */
export function claimOf({ spec, binding }: Volume): Claim | undefined {
  if (binding === undefined) return spec.claim;
  return binding.phase === 'Bound' ? binding.claim : undefined;
}
