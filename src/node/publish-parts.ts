import type { CallError } from '../errors.ts';
import type { Pinner } from '../pinner/pinner.ts';
import type { FileChange, PublishVolumeResponse } from '../rpc/pinner.ts';
import type { NodeMetrics } from './metrics.ts';
import type { OpenPolicy } from './policy.ts';
import type { BpfMaps, Published } from './published.ts';

/** What publishing depends on. */
export interface PublishParts extends Pick<OpenPolicy, 'policy' | 'events'> {
  readonly nodeId: string;
  readonly published: Published;
  readonly pinner: Pinner;
  readonly metrics: NodeMetrics;
}

/** The result of publishing a volume. */
export interface PublishOutcome extends Pick<PublishVolumeResponse, 'outcome'> {
  /** The BpfMaps that its files come from. */
  readonly maps: BpfMaps;
  /** How its files differ from those of the volume that existed before. */
  readonly changes: readonly FileChange[];
  /** The error to return after everything possible was done. */
  readonly failure?: CallError | undefined;
}
