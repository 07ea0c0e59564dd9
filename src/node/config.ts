import type { ClusterConfig } from '../kubernetes/connect.ts';
import type { LeaseKey } from '../kubernetes/lease.ts';
import type { HttpAddress } from '../process/http-server.ts';
import type { ServiceConfig } from '../process/service.ts';

/** The configuration of `csi-driver-bpffs node`. */
export interface NodeConfig extends ServiceConfig {
  readonly nodeId: string;
  readonly pinnerEndpoint: string;
  /** Where the kubelet's registration is served; undefined: not served. */
  readonly registrationSocket: string | undefined;
  /** The CSI socket as the kubelet sees it on the host. */
  readonly kubeletEndpoint: string;
  readonly policy: PolicyConfig;
  /** In which the cluster's controller says when grants change; undefined: nobody does. */
  readonly accessLease?: LeaseKey | undefined;
  readonly maxCalls: number;
  readonly maxQueuedCalls: number;
  /** Where the node is inspected: a loopback address. Undefined: nowhere. */
  readonly inspection: HttpAddress | undefined;
  /** The installed seccomp profile for pods that use maps; undefined: none was installed here. */
  readonly seccompProfile: string | undefined;
}

/** Where it is defined which maps exist and who may have them. */
export type PolicyConfig = FilePolicyConfig | ClusterConfig;

/** Files on this machine. */
export interface FilePolicyConfig {
  readonly kind: 'files';
  readonly catalog: string;
  readonly grants: string;
  /** The controller's volume directory; undefined: no volumes of type shared or workspace. */
  readonly volumes: string | undefined;
}
