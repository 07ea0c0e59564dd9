import { type Connection, inClusterConnection, type KubernetesService } from './connection.ts';
import { kubeconfigConnection } from './kubeconfig.ts';

/** A cluster, and how to reach its API server: as a kubeconfig file says or, without one, as the pod that this process runs in. */
export type ClusterConfig = { readonly kind: 'cluster' } & (
  | { readonly kubeconfig: string }
  | { readonly kubeconfig: undefined; readonly service: KubernetesService }
);

/** By a kubeconfig file or, without one, as the service account of this pod. Throws BadConfiguration when neither can be used. */
export function connect(config: ClusterConfig): Connection {
  return config.kubeconfig === undefined
    ? inClusterConnection(config.service)
    : kubeconfigConnection(config.kubeconfig);
}
