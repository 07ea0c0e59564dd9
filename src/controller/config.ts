import type { ClusterConfig } from '../kubernetes/connect.ts';
import type { ServiceConfig } from '../process/service.ts';

/** The configuration of `csi-driver-bpffs controller`. */
export interface ControllerConfig extends ServiceConfig {
  /** Where volumes are stored: in a directory, or in a cluster. */
  readonly store: { readonly kind: 'directory'; readonly directory: string } | ClusterConfig;
  /** The node of volumes that live on one node, for callers that request no topology. */
  readonly defaultNode: string | undefined;
}
