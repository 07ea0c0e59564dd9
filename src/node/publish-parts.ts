import type { Pinner } from '../pinner/pinner.ts';
import type { Audit } from './audit.ts';
import type { Denials } from './denials.ts';
import type { NodeMetrics } from './metrics.ts';
import type { OpenPolicy } from './policy.ts';
import type { Published } from './published.ts';

/** What publishing depends on. */
export interface PublishParts extends Pick<OpenPolicy, 'policy' | 'events'> {
  readonly nodeId: string;
  readonly published: Published;
  readonly pinner: Pinner;
  readonly metrics: NodeMetrics;
  readonly denials: Pick<Denials, 'record'>;
  readonly audit: Audit;
}
