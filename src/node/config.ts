import type { ClusterConfig } from '../kubernetes/connect.ts';
import type { ServiceConfig } from '../process/service.ts';

/** How `csi-driver-bpffs node` was told to run. */
export interface NodeConfig extends ServiceConfig {
  readonly nodeId: string;
  readonly pinnerEndpoint: string;
  /** Where the kubelet's registration service is served; undefined: not at all. */
  readonly registrationSocket: string | undefined;
  /** The CSI socket as the kubelet sees it on the host. */
  readonly kubeletEndpoint: string;
  readonly policy: PolicyConfig;
  readonly maxCalls: number;
  readonly maxQueuedCalls: number;
}

/** Who says which maps there are and who may have them. */
export type PolicyConfig = FilePolicyConfig | ClusterConfig;

/** Files on this machine. */
export interface FilePolicyConfig {
  readonly kind: 'files';
  readonly catalog: string;
  readonly grants: string;
  /** The directory of the controller's volumes; undefined: no volumes of type shared or workspace. */
  readonly volumes: string | undefined;
}
