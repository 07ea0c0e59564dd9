import type { CallError } from '../errors.ts';
import type { Pinner } from '../pinner/pinner.ts';
import type { FileChange, PublishVolumeResponse } from '../rpc/pinner.ts';
import type { NodeMetrics } from './metrics.ts';
import type { OpenPolicy } from './policy.ts';
import type { BpfMaps, Published } from './published.ts';

/** What publishing stands on. */
export interface PublishParts extends Pick<OpenPolicy, 'policy' | 'events'> {
  readonly nodeId: string;
  readonly published: Published;
  readonly pinner: Pinner;
  readonly metrics: NodeMetrics;
}

/** What became of a volume. */
export interface PublishOutcome extends Pick<PublishVolumeResponse, 'outcome'> {
  /** Where its files come from, in the catalog. */
  readonly maps: BpfMaps;
  /** What is not as it was in one that was there. */
  readonly changes: readonly FileChange[];
  /** What went wrong all the same: the answer to the call, after all that could be done was done. */
  readonly failure?: CallError | undefined;
}
