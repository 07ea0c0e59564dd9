import type { ClusterConfig } from '../kubernetes/connect.ts';
import type { ServiceConfig } from '../process/service.ts';

/** How `csi-driver-bpffs controller` was told to run. */
export interface ControllerConfig extends ServiceConfig {
  /** Where the volumes are kept: in a directory, or in a cluster. */
  readonly store: { readonly kind: 'directory'; readonly directory: string } | ClusterConfig;
  /** The node for a volume that lives in one, when the caller knows no topology. */
  readonly defaultNode: string | undefined;
}
