import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import { requireFiles, useTokenFile } from './credentials.ts';
import { loadKubeconfig } from './kubeconfig.ts';

/** How to reach a cluster's API server: with a kubeconfig file or, without one, as the service account of this process's pod. */
export type ClusterConfig = { readonly kind: 'cluster' } & (
  | { readonly kubeconfig: string }
  | { readonly kubeconfig: undefined; readonly service: KubernetesService }
);

/** The API server's service in the cluster. `host` may be an IPv6 address, without brackets. */
export interface KubernetesService {
  readonly host: string;
  readonly port: number;
}

/** Where Kubernetes mounts a pod's service account. */
const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** Throws BadConfiguration when the kubeconfig file or the service account cannot be used. */
export function connect(config: ClusterConfig): KubeConfig {
  return config.kubeconfig === undefined ? inCluster(config.service) : loadKubeconfig(config.kubeconfig);
}

/**
 * Uses the service account of this process's pod. Throws BadConfiguration if the pod has none: client-node's loadFromCluster checks
 * nothing, and uses plain HTTP for some ports.
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
