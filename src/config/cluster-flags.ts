import type { Option } from 'commander';
import { BadConfiguration } from '../errors.ts';
import type { ClusterConfig, KubernetesService } from '../kubernetes/connect.ts';
import { absolutePath, boolean, leaseKey, optional } from './flags.ts';

/** As commander parses them. */
export interface ClusterFlags {
  readonly cluster?: boolean | undefined;
  readonly kubeconfig?: string | undefined;
}

export function cluster(description: string): Option {
  return boolean('--cluster', description, 'BPFFS_CLUSTER');
}

export function kubeconfig(): Option {
  return optional(
    '--kubeconfig <file>',
    "with --cluster: how to reach its API server (default: as the pod's service account)",
    'BPFFS_KUBECONFIG',
    absolutePath,
  );
}

/** For node plugin and controller alike. */
export function accessLease(): Option {
  return optional(
    '--access-lease <namespace/name>',
    'with --cluster: the Lease in which the controller says when grants change (default: nobody says so)',
    'BPFFS_ACCESS_LEASE',
    leaseKey,
  );
}

/**
 * Undefined without --cluster. `others`: flags that --cluster excludes. Throws BadConfiguration for conflicting flags, and when neither
 * --kubeconfig nor the environment of a pod leads to an API server.
 */
export function parseCluster(
  { cluster = false, kubeconfig }: ClusterFlags,
  others: Readonly<Record<string, string | undefined>>,
  environment: NodeJS.ProcessEnv,
): ClusterConfig | undefined {
  if (!cluster) {
    if (kubeconfig !== undefined) throw new BadConfiguration(['--kubeconfig takes --cluster: give both, or neither']);
    return undefined;
  }
  const given = Object.keys(others).filter((flag) => others[flag] !== undefined);
  if (given.length > 0)
    throw new BadConfiguration(given.map((flag) => `${flag} does not go with --cluster: leave one of them out`));
  if (kubeconfig !== undefined) return { kind: 'cluster', kubeconfig };
  return { kind: 'cluster', kubeconfig, service: parseService(environment) };
}

/** https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/ */
function parseService({
  KUBERNETES_SERVICE_HOST: host = '',
  KUBERNETES_SERVICE_PORT: port = '',
}: NodeJS.ProcessEnv): KubernetesService {
  if (host !== '' && /^\d{1,5}$/.test(port)) return { host, port: Number(port) };
  throw new BadConfiguration([
    'KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this is no pod; give --kubeconfig',
  ]);
}
