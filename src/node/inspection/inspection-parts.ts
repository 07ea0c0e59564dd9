import type { Pinner } from '../../pinner/pinner.ts';
import type { Denials } from '../denials.ts';
import type { OpenPolicy, Policy } from '../policy.ts';
import type { Published } from '../published.ts';

/** What the inspection of a node depends on. */
export interface InspectionParts {
  readonly nodeId: string;
  /** When the process started. */
  readonly started: Date;
  readonly opened: Pick<OpenPolicy, 'state' | 'requireReady'>;
  readonly policy: Pick<Policy, 'catalog' | 'resolveSource'>;
  readonly published: Published;
  readonly denials: Pick<Denials, 'report'>;
  /** With few concurrent calls, so that they never delay a publish: see INSPECTION_CALLS. */
  readonly pinner: Pick<Pinner, 'listVolumes' | 'describeVolume' | 'describeMap' | 'getNode' | 'getBudget'>;
  /** Undefined: registration is not served. */
  readonly requireRegistered: (() => void) | undefined;
  /** The seccomp profile that was installed on the node; undefined: none was. */
  readonly seccompProfile: string | undefined;
  /** The installation directory. */
  readonly root: string;
}
