import type { Claim } from '../kubernetes/claim.ts';
import type { Source } from '../rpc/pinner.ts';

/** A BpfMap object: names a map of the node's kernel and says where it comes from. */
export interface BpfMap {
  readonly name: string;
  /** Which of the objects that had the name; undefined: there is no API server that says. */
  readonly uid?: string;
  /** The file's name in a volume: [A-Za-z0-9_-], at most 128. */
  readonly fileName: string;
  /** What nobody's grants can exceed. */
  readonly maxAccess: 'ReadOnly' | 'ReadWrite';
  readonly source: MapSource;
}

/** Where a map comes from: as the pinner takes it, or what has to become that on each node. */
export type MapSource =
  | { readonly kind: 'node'; readonly source: Source }
  | WorkspaceSource
  | BpfmanSource
  | UnusableSource;

/** A map that a pod pinned in its workspace. */
export interface WorkspaceSource {
  readonly kind: 'workspace';
  /** Whose volume the workspace is. */
  readonly claim: Claim;
  /** Relative to the workspace's directory. */
  readonly path: string;
}

/** A map of a program that bpfman has loaded on the node. */
export interface BpfmanSource {
  readonly kind: 'bpfman';
  /** Of a BpfApplication; undefined: the application is a ClusterBpfApplication. */
  readonly namespace: string | undefined;
  readonly application: string;
  /** The function's name in full, as in the application. */
  readonly program: string;
  /** As `bpftool prog` shows it: 16 hexadecimal digits. Undefined: the name is enough. */
  readonly programTag: string | undefined;
  /** As the kernel keeps it. */
  readonly map: string;
}

/** Of an object that is there and cannot be used. */
export interface UnusableSource {
  readonly kind: 'unusable';
  /** A sentence that names the object and says what is wrong with it. */
  readonly problem: string;
}

/** Which maps exist. */
export interface Catalog {
  find(name: string): BpfMap | undefined;
  /** Every name there is, in no order. */
  names(): readonly string[];
}
