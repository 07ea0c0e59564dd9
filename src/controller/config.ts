import type { ClusterConfig } from '../kubernetes/connect.ts';
import type { LeaseKey } from '../kubernetes/lease.ts';
import type { ServiceConfig } from '../process/service.ts';

/** The configuration of `csi-driver-bpffs controller`. */
export interface ControllerConfig extends ServiceConfig {
  /** Where volumes are stored: in a directory, or in a cluster. */
  readonly store: { readonly kind: 'directory'; readonly directory: string } | ClusterConfig;
  /** In which it says when grants change; undefined: it does not. */
  readonly accessLease?: LeaseKey | undefined;
  /** The node of volumes that live on one node, for callers that request no topology. */
  readonly defaultNode: string | undefined;
}
