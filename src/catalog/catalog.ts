import type { Source } from '../rpc/generated/pinner.ts';

/** A BpfMap object: names a map of the node's kernel and says where it comes from. */
export interface BpfMap {
  readonly name: string;
  /** The file's name in a volume: [A-Za-z0-9_-], at most 128. */
  readonly fileName: string;
  /** What nobody's grants can exceed. */
  readonly maxAccess: 'ReadOnly' | 'ReadWrite';
  /** As the pinner takes it. */
  readonly source: Source;
}

/** Which maps exist. */
export interface Catalog {
  find(name: string): BpfMap | undefined;
  /** Every name there is, in no order. */
  names(): readonly string[];
}
