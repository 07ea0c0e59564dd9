import type { Access, PodIdentity } from '../access/access.ts';
import type { PodTokens } from '../access/pod-tokens.ts';
import type { BpfMap, Catalog } from '../maps/catalog.ts';
import type { Source } from '../rpc/pinner.ts';
import type { VolumeReader } from '../volumes/volume-store.ts';
import type { PodEvents } from './pod-events.ts';

/** Which maps there are and who may have them, as files on this machine say, or a cluster's API server. */
export interface Policy {
  readonly catalog: Catalog;
  readonly access: Access;
  readonly resolveSource: ResolveSource;
  /** Undefined: there are no persistent volumes but those of type maps. */
  readonly volumes: VolumeReader | undefined;
  /**
   * Throws FAILED_PRECONDITION, and what to change, while the kubelet is not told all that it has to do for the driver, so that what
   * a request says of its pod may be the pod's own word; UNAVAILABLE while nobody can tell.
   */
  requireTrusted(): void;
  /**
   * Whether pods have to prove who they are. Otherwise whoever may speak to the socket is believed, also when it says nothing: then
   * there may be volumes without a pod, or without a claim.
   */
  readonly provesIdentity: boolean;
  /**
   * The pod, if it is the one that the request says; `pod`: undefined where it says none. Throws UNAUTHENTICATED when it is another,
   * or where it has to be said, and UNAVAILABLE when nobody can tell.
   */
  identify<P extends PodIdentity | undefined>(pod: P, tokens: PodTokens, signal: AbortSignal): Promise<P>;
}

/** A policy and all that comes with it, for as long as the process runs. */
export interface OpenPolicy {
  readonly policy: Policy;
  readonly events: Pick<PodEvents, 'record'>;
  /** Resolves when all is known that is followed. */
  readonly synced: Promise<void>;
  /** Throws, and says why, as long as nothing can be decided. */
  requireReady(): void;
  /** Brings gauges up to date. */
  updateMetrics(): void;
  close(): Promise<void>;
}

/**
 * From a BpfMap to a source that the pinner of this node understands. Throws UNAVAILABLE while there is none, and
 * FAILED_PRECONDITION where somebody has to change something first.
 */
export type ResolveSource = (map: BpfMap) => Source | Promise<Source>;
