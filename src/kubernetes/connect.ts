import type { ClusterConfig } from '../cluster-flags.ts';
import { type Connection, inClusterConnection } from './connection.ts';
import { kubeconfigConnection } from './kubeconfig.ts';

/** By a kubeconfig file or, without one, as the service account of this pod. Throws BadConfiguration when neither can be used. */
export function connect(config: ClusterConfig): Connection {
  return config.kubeconfig === undefined
    ? inClusterConnection(config.service)
    : kubeconfigConnection(config.kubeconfig);
}
