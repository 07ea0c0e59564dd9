import type { Access, PodIdentity } from '../access/access.ts';
import type { PodTokens } from '../access/pod-tokens.ts';
import type { Freshness } from '../kubernetes/reflector.ts';
import type { BpfMap, Catalog } from '../maps/catalog.ts';
import type { Delegation, Source } from '../rpc/pinner.ts';
import type { VolumeReader } from '../volumes/volume-store.ts';
import type { CsiDriverProblems } from './csi-driver.ts';
import type { NodeEvents } from './node-events.ts';
import type { PodEvents } from './pod-events.ts';

/** Which maps exist and who may have them, according to files on this machine or a cluster's API server. */
export interface Policy {
  readonly catalog: Catalog;
  readonly access: Access;
  /**
   * What the BpfDelegation of this name says now. Throws NOT_FOUND if there is none, FAILED_PRECONDITION if it cannot be used, and
   * UNAVAILABLE if it cannot be read now.
   */
  findDelegation(name: string, signal: AbortSignal): Promise<Delegation>;
  readonly resolveSource: ResolveSource;
  /** Undefined: all persistent volumes are of type maps. */
  readonly volumes: VolumeReader | undefined;
  /**
   * Throws FAILED_PRECONDITION, saying what to change, while the CSIDriver object lacks something without which a pod could forge what
   * requests say of it; UNAVAILABLE while that is unknown.
   */
  requireTrusted(): void;
  /** Whether pods must prove their identity. If not, any caller of the socket is trusted, and volumes may come without a pod or a claim. */
  readonly provesIdentity: boolean;
  /**
   * Returns `pod` if it is the pod that the tokens belong to; undefined: the request names none. Throws UNAUTHENTICATED if it is not, or if
   * a pod is required, and UNAVAILABLE if that cannot be checked now.
   */
  identify<P extends PodIdentity | undefined>(pod: P, tokens: PodTokens, signal: AbortSignal): Promise<P>;
}

/** A policy and what belongs to it, for the lifetime of the process. */
export interface OpenPolicy {
  readonly policy: Policy;
  readonly events: PodEvents;
  readonly nodeEvents: NodeEvents;
  /** Resolves when all watched objects are known. */
  readonly synced: Promise<void>;
  /** Throws, saying why, while nothing can be decided. */
  requireReady(): void;
  state(): PolicyState;
  updateMetrics(): void;
  close(): Promise<void>;
}

/** What is known at one moment, and how well. */
export interface PolicyState {
  /** How many BpfMaps there are, and how many of them cannot be used. */
  readonly catalog: { readonly maps: number; readonly invalid: number };
  /** Empty without a cluster. */
  readonly watches: readonly ({ readonly resource: string } & Freshness)[];
  /** Undefined without a cluster, and before the CSIDriver object was first read. */
  readonly csiDriver: CsiDriverProblems | undefined;
}

/**
 * Turns a BpfMap into a source for this node's pinner. Throws UNAVAILABLE while there is none, and FAILED_PRECONDITION where a person has
 * to change something first.
 */
export type ResolveSource = (map: BpfMap) => Source | Promise<Source>;
