import type { Claim } from '../kubernetes/claim.ts';
import type { Source } from '../rpc/pinner.ts';
import type { WorkspaceOwner } from './workspace-owner.ts';

/** A BpfMap object: names a map in the node's kernel and says where it comes from. */
export interface BpfMap {
  readonly name: string;
  /** Distinguishes objects that had the same name; undefined without an API server. */
  readonly uid?: string;
  /** The file's name in a volume: [A-Za-z0-9_-], at most 128. */
  readonly fileName: string;
  /** The limit for all grants. */
  readonly maxAccess: 'ReadOnly' | 'ReadWrite';
  readonly source: MapSource;
}

/** Where a map comes from: in the pinner's terms, or to be resolved on each node. */
export type MapSource =
  | { readonly kind: 'node'; readonly source: Source }
  | WorkspaceSource
  | OwnedWorkspaceSource
  | BpfmanSource
  | UnusableSource;

/** A map that a pod pinned in its workspace. */
export interface WorkspaceSource {
  readonly kind: 'workspace';
  /** The claim whose volume is the workspace. */
  readonly claim: Claim;
  /** Relative to the workspace's directory. */
  readonly path: string;
}

/** A map that a pod pinned in its workspace, which each of the owner's pods has of its own. */
export interface OwnedWorkspaceSource {
  readonly kind: 'ownedWorkspace';
  readonly owner: WorkspaceOwner;
  /** The workspace's name in the pod's spec. */
  readonly volume: string;
  /** Relative to the workspace's directory. */
  readonly path: string;
}

/** A map of a program that bpfman has loaded on the node. */
export interface BpfmanSource {
  readonly kind: 'bpfman';
  /** Of a BpfApplication; undefined: the application is a ClusterBpfApplication. */
  readonly namespace: string | undefined;
  readonly application: string;
  /** The function's full name, as in the application. */
  readonly program: string;
  /** As `bpftool prog` shows it: 16 hexadecimal digits. Undefined: the name is enough. */
  readonly programTag: string | undefined;
  /** As the kernel keeps it: at most 15 characters. */
  readonly map: string;
}

/** The source of an invalid object. */
export interface UnusableSource {
  readonly kind: 'unusable';
  /** A sentence that names the object and says what is wrong. */
  readonly problem: string;
}

/** Which maps exist. */
export interface Catalog {
  find(name: string): BpfMap | undefined;
  /** All names, unordered. */
  names(): readonly string[];
}
