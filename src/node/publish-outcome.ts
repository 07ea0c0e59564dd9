import type { CallError } from '../errors.ts';
import type { BpfMap } from '../maps/catalog.ts';
import type { Delegation, FileChange, PublishedMap, PublishVolumeResponse } from '../rpc/pinner.ts';
import type { RefusedMap } from './refused-map.ts';

/** BpfMaps by name, as they were at one moment. */
export type BpfMaps = ReadonlyMap<string, BpfMap>;

/** The result of publishing a volume. */
export interface PublishOutcome extends Pick<PublishVolumeResponse, 'outcome'> {
  /** The BpfMaps that its files come from. */
  readonly maps: BpfMaps;
  /** What was mounted; empty if nothing was. */
  readonly given: readonly PublishedMap[];
  /** What grants each BpfMap, or the BpfDelegation, by its name; see Decision. */
  readonly rules: ReadonlyMap<string, string>;
  /** What the running pod did not get as it asked for. */
  readonly refused: readonly RefusedMap[];
  /** How its files differ from those of the volume that existed before. */
  readonly changes: readonly FileChange[];
  /** What a pod's token may do; undefined: the volume is none of a delegation, or was there. */
  readonly delegation?: Delegation | undefined;
  /** The running pod may not use its delegation any more. */
  readonly isRevoked?: boolean;
  /** The error to return after everything possible was done. */
  readonly failure?: CallError | undefined;
}
