import type { MapDefinition } from '../catalog/map-definition.ts';
import type { AccessMode } from './volume-capability.ts';

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

/** A PersistentVolumeClaim. */
export interface Claim {
  readonly namespace: string;
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
  /** Whose volume it was made as; undefined where the provisioner did not say. */
  readonly claim: Claim | undefined;
}

/** A persistent volume that exists: a BpfVolume object. */
export interface Volume {
  /** CSI's volume_id: see volumeId. [a-z0-9-], at most 72. */
  readonly id: string;
  readonly spec: VolumeSpec;
  readonly createdAt: Date;
}
