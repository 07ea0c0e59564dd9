import * as z from 'zod/mini';
import { ApiError } from '../kubernetes/api-error.ts';
import { CLAIMS, type Claim, claimName } from '../kubernetes/claim.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import { labelSelectorSchema, selects } from '../kubernetes/label-selector.ts';
import type { KubernetesObject, Resource } from '../kubernetes/resource.ts';
import { understood } from '../kubernetes/understood.ts';
import { cut } from '../text.ts';
import type { VolumeOwner, VolumeSpec, Workload, WorkloadKind } from '../volumes/volume.ts';
import { getObject } from '../volumes/volume-objects.ts';

/** Whose a volume is. Empty: its claim was made by hand, for any pods. */
export type Ownership = Pick<VolumeSpec, 'owner' | 'ownerProblem'>;

const PODS = { group: '', version: 'v1', plural: 'pods' };
const REPLICA_SETS = { group: 'apps', version: 'v1', plural: 'replicasets' };
const WORKLOADS: Readonly<Record<WorkloadKind, Resource>> = {
  DaemonSet: { group: 'apps', version: 'v1', plural: 'daemonsets' },
  Deployment: { group: 'apps', version: 'v1', plural: 'deployments' },
  StatefulSet: { group: 'apps', version: 'v1', plural: 'statefulsets' },
};

/** Bytes of a problem, which names at most four objects. */
const MAX_PROBLEM_BYTES = 1000;

const ownedSchema = z.object({
  metadata: z.object({
    ownerReferences: z.nullish(
      z.array(
        z.object({
          apiVersion: z.string(),
          kind: z.string(),
          name: z.string(),
          uid: z.string(),
          controller: z.nullish(z.boolean()),
        }),
      ),
    ),
  }),
});

const podSchema = z.object({
  spec: z.object({
    serviceAccountName: z.nullish(z.string()),
    volumes: z.nullish(z.array(z.object({ name: z.string(), ephemeral: z.nullish(z.object({})) }))),
  }),
});

const workloadSchema = z.object({ spec: z.object({ selector: labelSelectorSchema }) });

/**
 * Whose the volume `volumeName` is that is created for a claim: of the pod that has the claim as a generic ephemeral volume, and of the
 * workload that made that pod. Follows the controller references from object to object, and compares the uid at each step; an object that
 * does not acknowledge the one that refers to it does not count. What is not so ends up in `ownerProblem`, and so does a read that the
 * driver is not allowed. Throws other errors of the API server: the state is then unknown.
 *
 * All of this can be written by who may create pods in the claim's namespace, which is as far as it can be trusted.
 */
export async function findOwner(client: KubernetesClient, claim: Claim, volumeName: string): Promise<Ownership> {
  try {
    const { ownerProblem, ...found } = await find(client, claim, volumeName);
    return { ...found, ...(ownerProblem !== undefined && { ownerProblem: cut(ownerProblem, MAX_PROBLEM_BYTES) }) };
  } catch (error) {
    if (error instanceof ApiError && error.status === 403)
      return {
        ownerProblem: cut(`the owner of claim ${claimName(claim)} cannot be read: ${error.message}`, MAX_PROBLEM_BYTES),
      };
    throw error;
  }
}

async function find(client: KubernetesClient, claim: Claim, volumeName: string): Promise<Ownership> {
  const { namespace, name } = claim;
  const object = await getObject(client, CLAIMS, { namespace, name });
  // external-provisioner names a volume for its claim's uid.
  if (object === undefined || !volumeName.endsWith(object.metadata.uid))
    return { ownerProblem: `claim ${claimName(claim)} was deleted while its volume was created` };
  const ofClaim = controllerOf(object);
  if (ofClaim === undefined || ofClaim.kind !== 'Pod' || ofClaim.apiVersion !== 'v1') return {};
  const pod = await getObject(client, PODS, { namespace, name: ofClaim.name });
  const ofPod = `claim ${claimName(claim)} names pod ${ofClaim.name} as its owner`;
  if (pod?.metadata.uid !== ofClaim.uid) return { ownerProblem: `${ofPod}, which does not exist any more` };
  const { spec } = understood(podSchema, pod, 'get of a pod');
  const volume = spec.volumes?.find((each) => each.ephemeral != null && `${ofClaim.name}-${each.name}` === name);
  if (volume === undefined) return { ownerProblem: `${ofPod}, which has no ephemeral volume of this claim` };
  const owner: VolumeOwner = {
    pod: ofClaim.name,
    volume: volume.name,
    serviceAccount: spec.serviceAccountName || 'default',
  };
  const workload = await findWorkload(client, namespace, pod);
  if (typeof workload === 'string') return { owner, ownerProblem: workload };
  return { owner: { ...owner, workload } };
}

/** What made the pod, or a sentence that says why nothing is known to have made it. */
async function findWorkload(
  client: KubernetesClient,
  namespace: string,
  pod: KubernetesObject,
): Promise<Workload | string> {
  const ofPod = `pod ${namespace}/${pod.metadata.name}`;
  let [subject, reference] = [ofPod, controllerOf(pod)];
  if (reference !== undefined && isOf(reference, 'ReplicaSet')) {
    const { name, uid } = reference;
    const replicaSet = await getObject(client, REPLICA_SETS, { namespace, name });
    if (replicaSet?.metadata.uid !== uid) return disowned(subject, reference);
    [subject, reference] = [`ReplicaSet ${namespace}/${name} of ${ofPod}`, controllerOf(replicaSet)];
  }
  if (reference === undefined) return `${subject} belongs to no workload`;
  const { name, uid } = reference;
  const kind = (Object.keys(WORKLOADS) as WorkloadKind[]).find((each) => isOf(reference, each));
  if (kind === undefined)
    return `${subject} belongs to ${reference.kind} ${name}, and not to a DaemonSet, Deployment or StatefulSet`;
  const workload = await getObject(client, WORKLOADS[kind], { namespace, name });
  if (workload?.metadata.uid !== uid) return disowned(subject, reference);
  const { spec } = understood(workloadSchema, workload, `get of a ${kind}`);
  if (!selects(spec.selector, pod.metadata.labels ?? {}))
    return `${ofPod} names ${kind} ${name} as its owner, whose selector does not select it`;
  return { kind, name, uid };
}

interface Reference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
}

function controllerOf(object: KubernetesObject): Reference | undefined {
  const { metadata } = understood(ownedSchema, object, 'get of an object');
  return metadata.ownerReferences?.find(({ controller }) => controller === true);
}

function isOf({ apiVersion, kind }: Reference, wanted: WorkloadKind | 'ReplicaSet'): boolean {
  return kind === wanted && apiVersion.startsWith('apps/');
}

function disowned(subject: string, { kind, name }: Reference): string {
  return `${subject} names ${kind} ${name} as its owner, which does not exist, or is another object by now`;
}
