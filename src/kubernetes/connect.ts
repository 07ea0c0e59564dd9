import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import { requireFiles, useTokenFile } from './credentials.ts';
import { loadKubeconfig } from './kubeconfig.ts';

/** A cluster, and how to reach its API server: as a kubeconfig file says or, without one, as the pod that this process runs in. */
export type ClusterConfig = { readonly kind: 'cluster' } & (
  | { readonly kubeconfig: string }
  | { readonly kubeconfig: undefined; readonly service: KubernetesService }
);

/** Where the API server is for pods: a service of the cluster. `host` may be an IPv6 address, without brackets. */
export interface KubernetesService {
  readonly host: string;
  readonly port: number;
}

/** Where Kubernetes puts a pod's service account. */
const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** By a kubeconfig file or, without one, as the service account of this pod. Throws BadConfiguration when neither can be used. */
export function connect(config: ClusterConfig): KubeConfig {
  return config.kubeconfig === undefined ? inCluster(config.service) : loadKubeconfig(config.kubeconfig);
}

/**
 * As the service account of the pod that this process runs in. Throws BadConfiguration if the pod has none: client-node's loadFromCluster
 * looks at nothing, and speaks plain HTTP to some ports.
 */
export function inCluster({ host, port }: KubernetesService, directory = SERVICE_ACCOUNT): KubeConfig {
  const config = new KubeConfig();
  const server = `https://${isIPv6(host) ? `[${host}]` : host}:${port}`;
  config.loadFromClusterAndUser(
    { name: 'in-cluster', server, caFile: join(directory, 'ca.crt'), skipTLSVerify: false },
    { name: 'service-account' },
  );
  useTokenFile(config, join(directory, 'token'));
  requireFiles(config);
  return config;
}
