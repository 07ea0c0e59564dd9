import type { Claim } from '../kubernetes/claim.ts';
import type { MapDefinition } from '../maps/map-definition.ts';
import type { OwnerKind } from '../maps/workspace-owner.ts';
import type { AccessMode } from '../request/volume-capability.ts';

/** What a volume contains, by the `type` of its StorageClass. */
export type VolumeContent =
  /** Maps of the catalog, in the syntax of volumeAttributes.maps; each pod needs its own grant. */
  | { readonly type: 'maps'; readonly maps: string }
  /** Maps made for this volume, on its node. */
  | { readonly type: 'shared'; readonly newMaps: readonly NewMap[] }
  /** A bpffs that pods write to, on its node. */
  | { readonly type: 'workspace' };

/** A map that is made for one volume. */
export interface NewMap extends MapDefinition {
  /** The file's name: [A-Za-z0-9_-], at most 128, unique in the volume. */
  readonly name: string;
}

/** The spec of a BpfVolume: what was requested. */
export interface VolumeSpec {
  /** Its name in CreateVolume. */
  readonly volumeName: string;
  readonly content: VolumeContent;
  /** The pods that use it have their own user namespaces. */
  readonly userNamespace: boolean;
  /** Sorted. */
  readonly accessModes: readonly AccessMode[];
  /** Bytes; 0: none requested. */
  readonly capacityBytes: number;
  /** The node in whose memory it lives; undefined: it is the same on every node. */
  readonly nodeName: string | undefined;
  /** The claim that it was made for, to whose namespace it is limited; undefined: the provisioner did not say. */
  readonly claim: Claim | undefined;
  /** Only of a workspace that was made for one pod, of whose claim it is the volume. */
  readonly owner?: VolumeOwner;
  /** Why `owner`, or its workload, is not known although the claim is for one pod: a sentence that names the objects. */
  readonly ownerProblem?: string;
}

/** Whose a workspace is, as it was proven when the volume was created. All is in the namespace of the claim. */
export interface VolumeOwner {
  readonly pod: string;
  /** The volume's name in the pod's spec. */
  readonly volume: string;
  /** That the pod runs as. */
  readonly serviceAccount: string;
  /** What made the pod; absent: something else, or it could not be proven. */
  readonly workload?: Workload;
}

/** A workload that makes pods. */
export interface Workload {
  readonly kind: WorkloadKind;
  readonly name: string;
  readonly uid: string;
}

export type WorkloadKind = Exclude<OwnerKind, 'ServiceAccount'>;

/** Which claim a volume belongs to now, according to its PersistentVolume. */
export type Binding =
  | { readonly phase: 'Bound'; readonly claim: Claim }
  /** The claim is gone; the PersistentVolume was retained, or is gone too. */
  | { readonly phase: 'Released' };

/** A persistent volume that exists: a BpfVolume object. */
export interface Volume {
  /** CSI's volume_id, from volumeId: [a-z0-9-], at most 72. */
  readonly id: string;
  readonly spec: VolumeSpec;
  readonly createdAt: Date;
  /** Undefined: no PersistentVolume was seen yet, or there is no cluster. */
  readonly binding: Binding | undefined;
}

/** The claim that a volume belongs to; while no binding is known, the claim that it was made for. */
export function claimOf({ spec, binding }: Volume): Claim | undefined {
  if (binding === undefined) return spec.claim;
  return binding.phase === 'Bound' ? binding.claim : undefined;
}
