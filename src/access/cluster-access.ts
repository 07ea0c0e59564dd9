import * as z from 'zod/mini';
import { type Answer, createAnswerCache } from '../kubernetes/answer-cache.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import { type Access, type Decision, type PodIdentity, userName, type Verb } from './access.ts';
import type { VerifiedIdentity } from './pod-identity-verifier.ts';

export interface ClusterAccessOptions {
  readonly client: Pick<KubernetesClient, 'create'>;
  /** How many answers are remembered. */
  readonly most?: number;
  /** For how long. */
  readonly allowMs?: number;
  readonly denyMs?: number;
  /** How old the answer was that was known; undefined: there was none. */
  lookedUp?(ageSeconds: number | undefined): void;
}

const SUBJECT_ACCESS_REVIEWS = { group: 'authorization.k8s.io', version: 'v1', plural: 'subjectaccessreviews' };

const reviewSchema = z.object({
  status: z.object({ allowed: z.nullish(z.boolean()), reason: z.nullish(z.string()) }),
});

const MOST = 4096;
/** With the kubelet's one to one and a half minutes between two looks: what is withdrawn is gone within two minutes. */
const ALLOW_MS = 30_000;
/** Whoever was refused has probably asked for the grant. */
const DENY_MS = 10_000;

/**
 * Access by RBAC, or whatever else authorizes in the cluster: a SubjectAccessReview in the pod's namespace. Answers are kept for a
 * while; without one that is still good `check` throws UNAVAILABLE when the API server is away.
 * https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/subject-access-review-v1/
 */
export function createClusterAccess(options: ClusterAccessOptions): Access {
  const { client, allowMs = ALLOW_MS, denyMs = DENY_MS } = options;
  const cache = createAnswerCache<Decision>(options.most ?? MOST, options.lookedUp);

  async function review(
    pod: PodIdentity,
    groups: readonly string[],
    name: string,
    verb: Verb,
  ): Promise<Answer<Decision>> {
    const { namespace } = pod;
    const review = await client.create(SUBJECT_ACCESS_REVIEWS, {
      kind: 'SubjectAccessReview',
      spec: {
        user: userName(pod),
        groups,
        resourceAttributes: { group: 'bpffs.dev', version: 'v1alpha1', resource: 'bpfmaps', namespace, name, verb },
      },
    });
    const { allowed, reason } = reviewSchema.parse(review).status;
    if (allowed === true) return { value: { allowed: true }, expiresAt: Date.now() + allowMs };
    // Of a plain refusal there is none; a binding whose role is missing makes one.
    const fault = reason ? ` (${reason.slice(0, 200)})` : '';
    return {
      value: { allowed: false, remedy: `${grantCommand(pod, name, verb)}${fault}` },
      expiresAt: Date.now() + denyMs,
    };
  }

  return {
    check(pod, mapName, verb, signal) {
      const groups = groupsOf(pod);
      const key = JSON.stringify([pod.namespace, pod.serviceAccount, mapName, verb, groups]);
      return cache.get(key, () => review(pod, groups, mapName, verb), signal);
    },
  };
}

/** As the token's review said or, where none was made for this question, what every service account is in. */
function groupsOf(pod: PodIdentity & Partial<VerifiedIdentity>): readonly string[] {
  return pod.groups ?? ['system:serviceaccounts', `system:serviceaccounts:${pod.namespace}`, 'system:authenticated'];
}

/** Short, because several of them have to fit an event. */
function grantCommand({ namespace, serviceAccount }: PodIdentity, map: string, verb: Verb): string {
  const role = `${verb}-${map}`;
  return (
    `kubectl create role ${role} -n ${namespace} --verb=${verb} --resource=bpfmaps.bpffs.dev --resource-name=${map}; ` +
    `kubectl create rolebinding ${role}-${serviceAccount} -n ${namespace} --role=${role} --serviceaccount=${namespace}:${serviceAccount}`
  );
}
