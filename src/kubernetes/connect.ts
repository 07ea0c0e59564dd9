import { type Connection, inClusterConnection } from './connection.ts';
import { kubeconfigConnection } from './kubeconfig.ts';

/** By a kubeconfig file or, without one, as the service account of this pod. Throws BadConfiguration when neither can be used. */
export function connect(kubeconfig: string | undefined): Connection {
  return kubeconfig === undefined ? inClusterConnection(process.env) : kubeconfigConnection(kubeconfig);
}
