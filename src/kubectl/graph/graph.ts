import type { MapReport } from '../../inspection/reports.ts';

/**
 * Which pods use which maps, in the form that the page carries as JSON: lists, and paths through them. Numbers named for a list are indices
 * into it.
 */
export interface Graph {
  readonly cluster: string;
  /** When the nodes were asked, in RFC 3339. */
  readonly time: string;
  readonly nodes: readonly GraphNode[];
  /** Texts that say where maps come from. */
  readonly sources: readonly string[];
  readonly maps: readonly GraphMap[];
  readonly accounts: readonly GraphAccount[];
  readonly pods: readonly GraphPod[];
  readonly kernelMaps: readonly KernelMap[];
  readonly paths: readonly Path[];
  /** What the reports, or this graph, had no room for. */
  readonly leftOut: LeftOut;
}

/** A node that was asked. */
export interface GraphNode {
  readonly name: string;
  /** Whether it told its volumes. */
  readonly answered: boolean;
  readonly error: string | null;
}

/** A BpfMap; or all maps of a persistent volume, which have none. */
export interface GraphMap {
  readonly name: string;
  readonly source: number;
  /** `volume`: of a type that is not known. */
  readonly type: 'BpfMap' | 'shared' | 'workspace' | 'volume';
  readonly maxAccess: string | null;
}

/** A service account; null: that of the pods that are not known yet. */
export type GraphAccount = { readonly namespace: string; readonly name: string } | null;

/** A pod with such a volume, or one that was refused a map. */
export interface GraphPod {
  /** Its uid where the name is not known. */
  readonly name: string;
  readonly account: number;
  readonly node: number;
}

/** A map in the kernel of a node. */
export interface KernelMap extends MapReport {
  readonly node: number;
}

/** That a pod uses a map, or was refused it; the way through the four columns of the picture. */
export interface Path {
  readonly map: number;
  /** Null: no pod uses this BpfMap. */
  readonly pod: number | null;
  /** One for a BpfMap, any number for a volume, none if the pod has nothing of it. */
  readonly kernelMaps: readonly number[];
  /** Null: the pod has nothing of it. */
  readonly access: 'read' | 'write' | null;
  /** When the pod got the volume. */
  readonly since: string | null;
  /** Says what is wrong where the pod, or one of its containers, may have an older map than its source has. */
  readonly replaced: string | null;
  readonly refused: Refused | null;
}

/** Why a pod does not have a map as it asked for. Null: not known. */
export interface Refused {
  readonly verb: 'read' | 'write' | null;
  readonly reason: string;
  readonly message: string;
  readonly count: number | null;
  readonly last: string | null;
}

/** Numbers of things that are not in the graph. */
export interface LeftOut {
  readonly volumes: number;
  readonly files: number;
  readonly refusals: number;
}
