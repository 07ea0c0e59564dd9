import type { KubernetesObject } from '../../src/kubernetes/resource.ts';
import type { ApiServer } from './api-server.ts';

/** A controller reference, as a workload's controller puts it on what it makes. */
export function controlledBy(kind: string, { metadata }: KubernetesObject, apiVersion = 'apps/v1'): object {
  const { name, uid } = metadata;
  return { ownerReferences: [{ apiVersion, kind, name, uid, controller: true, blockOwnerDeletion: true }] };
}

/** What a test may change of a pod with a workspace. */
export interface LoaderOptions {
  readonly labels?: Readonly<Record<string, string>>;
  /** Adds to the pod's metadata: controlledBy. */
  readonly of?: object;
  readonly serviceAccount?: string;
}

const LABELS = { app: 'agent' };

/**
 * Makes pods, workloads and claims in a namespace, which nobody runs. Without a controller manager each object has to be made by hand, as it
 * would make it.
 */
export function workloads(api: ApiServer, namespace: string) {
  const template = {
    metadata: { labels: LABELS },
    spec: { containers: [{ name: 'agent', image: 'none' }] },
  };
  const make = async (apiVersion: string, kind: string, metadata: { name: string }, spec: object) => {
    await api.apply({ apiVersion, kind, metadata: { namespace, ...metadata }, spec });
    const [version = '', group = ''] = apiVersion.split('/').reverse();
    const plural = `${kind.toLowerCase()}s`;
    return await api.admin.get({ group, version, plural }, { namespace, name: metadata.name });
  };
  const selector = { matchLabels: LABELS };
  return {
    workload: (kind: 'DaemonSet' | 'Deployment', name: string, of: object = {}) =>
      make('apps/v1', kind, { name, ...of }, { selector, template }),
    replicaSet: (name: string, of: object = {}) =>
      make('apps/v1', 'ReplicaSet', { name, ...of }, { selector, template }),
    statefulSet: (name: string) =>
      make('apps/v1', 'StatefulSet', { name }, { selector, template, serviceName: 'none' }),
    job: (name: string) =>
      make('batch/v1', 'Job', { name }, { template: { spec: { ...template.spec, restartPolicy: 'Never' } } }),

    /** A pod that has the generic ephemeral volume `pins`, and a volume of the claim `shared`. */
    pod: (name: string, { labels = LABELS, of = {}, serviceAccount = 'loader' }: LoaderOptions = {}) =>
      make('v1', 'Pod', { name, labels, ...of } as { name: string }, {
        serviceAccountName: serviceAccount,
        containers: [{ name: 'agent', image: 'none' }],
        volumes: [
          { name: 'pins', ephemeral: { volumeClaimTemplate: { spec: CLAIM_SPEC } } },
          { name: 'other', persistentVolumeClaim: { claimName: `${name}-other` } },
        ],
      }),
    claim: (name: string, of: object = {}) => make('v1', 'PersistentVolumeClaim', { name, ...of }, CLAIM_SPEC),
  };
}

const CLAIM_SPEC = {
  storageClassName: 'workspace',
  accessModes: ['ReadWriteOnce'],
  resources: { requests: { storage: '1Mi' } },
};
