import * as z from 'zod/mini';
import { unavailable } from '../errors.ts';
import { type Answer, createAnswerCache } from '../kubernetes/answer-cache.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import { understood } from '../kubernetes/understood.ts';
import { cut } from '../text.ts';
import { type Access, type Decision, OBJECTS, type PodIdentity, type Right, userName } from './access.ts';
import type { Generation } from './generation.ts';
import { createRefresh } from './refresh.ts';

export interface ClusterAccessOptions {
  readonly client: Pick<KubernetesClient, 'create'>;
  /** How many answers are cached. */
  readonly maxAnswers?: number;
  /** How long allowing and denying answers are cached, whatever happens. */
  readonly allowMs?: number;
  readonly denyMs?: number;
  /** By which answers are cached for longer, while no grant changes. Default: they are not. */
  readonly generation?: Generation | undefined;
  /** Milliseconds of a monotonic clock. */
  now?(): number;
  /** The age of the cached answer; undefined: it was not cached. */
  lookedUp?(ageSeconds: number | undefined): void;
}

const SUBJECT_ACCESS_REVIEWS = { group: 'authorization.k8s.io', version: 'v1', plural: 'subjectaccessreviews' };

const reviewSchema = z.object({
  status: z.object({
    allowed: z.nullish(z.boolean()),
    reason: z.nullish(z.string()),
    evaluationError: z.nullish(z.string()),
  }),
});

const MAX_ANSWERS = 4096;
/** The kubelet repeats its requests after 60 to 90 s, so a revoked grant takes effect within two minutes. */
const ALLOW_MS = 30_000;
/** Shorter, because whoever was denied has probably asked for the grant. */
const DENY_MS = 10_000;
/** How long a denial is cached while no grant changes. For what is allowed see Refresh. */
const MAX_DENY_MS = 10 * 60_000;
/** How RBAC's reasons begin. Only RBAC has a generation; other authorizers may change their mind unseen. */
const BY_RBAC = 'RBAC: allowed by ';
const MAX_REASON_BYTES = 200;

/**
 * Access by RBAC, or the cluster's other authorizers: a SubjectAccessReview in the pod's namespace. Answers are cached, those of RBAC for
 * as long as the `generation` is the same. However many they are, these cost at most one request a minute. Without a valid cached answer
 * `check` throws UNAVAILABLE while the API server, or an authorizer that it asks, is down.
 * https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/subject-access-review-v1/
 */
export function createClusterAccess(options: ClusterAccessOptions): Access {
  const { client, allowMs = ALLOW_MS, denyMs = DENY_MS, generation, now = () => performance.now() } = options;
  const refresh = createRefresh(now);
  const cache = createAnswerCache<Decision>({
    maxAnswers: options.maxAnswers ?? MAX_ANSWERS,
    awaited: 'the API server to say what the pod may do',
    lookedUp: options.lookedUp,
    now,
  });

  async function reviewWithin(key: string, pod: PodIdentity, name: string, verb: Right): Promise<Answer<Decision>> {
    if (generation === undefined) return review(pod, name, verb);
    const { answer, term } = await generation.during(() => review(pod, name, verb));
    const { value } = answer;
    if (term === undefined) return answer;
    if (!value.allowed) return { ...answer, isStillGood: (ageMs) => term.isGood() && ageMs < MAX_DENY_MS };
    if (!value.rule.startsWith(BY_RBAC)) return answer;
    refresh.given(key);
    return { ...answer, isStillGood: (ageMs) => term.isGood() && !refresh.isDue(key, ageMs) };
  }

  async function review(pod: PodIdentity, name: string, verb: Right): Promise<Answer<Decision>> {
    const { namespace } = pod;
    const { plural: resource, noun } = OBJECTS[verb];
    const review = await client.create(SUBJECT_ACCESS_REVIEWS, {
      kind: 'SubjectAccessReview',
      spec: {
        user: userName(pod),
        // Every service account is in exactly these groups.
        groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
        resourceAttributes: { group: 'bpffs.dev', version: 'v1alpha1', resource, namespace, name, verb },
      },
    });
    const { allowed, reason, evaluationError } = understood(reviewSchema, review, 'SubjectAccessReview').status;
    if (allowed === true) {
      return { value: { allowed: true, rule: cut(reason ?? '', MAX_REASON_BYTES) }, goodForMs: allowMs };
    }
    // A failed authorizer is no denial. The API server itself then answers requests with 500, and not with 403:
    // https://github.com/kubernetes/kubernetes/blob/v1.36.0/staging/src/k8s.io/apiserver/pkg/endpoints/filters/authorization.go
    if (evaluationError) {
      throw unavailable(
        `the API server cannot tell whether ${userName(pod)} may ${verb} ${noun} "${name}" until its authorizers answer: ${evaluationError.slice(0, 300)}`,
      );
    }
    // A plain denial has no reason; a binding to a missing role gives one.
    const fault = reason ? ` (${reason.slice(0, MAX_REASON_BYTES)})` : '';
    return {
      value: { allowed: false, remedy: `${grantCommand(pod, name, verb)}${fault}` },
      goodForMs: denyMs,
    };
  }

  return {
    check(pod, name, verb, signal) {
      const key = JSON.stringify([pod.namespace, pod.serviceAccount, name, verb]);
      return cache.get(key, () => reviewWithin(key, pod, name, verb), signal);
    },
  };
}

/** Short, because several of them have to fit an event. */
function grantCommand({ namespace, serviceAccount }: PodIdentity, name: string, verb: Right): string {
  const role = `${verb}-${name}`;
  return (
    `${verb === 'use' ? useCommand(role, namespace, name) : createCommand(role, namespace, name, verb)}; ` +
    `kubectl create rolebinding ${role}-${serviceAccount} -n ${namespace} --role=${role} --serviceaccount=${namespace}:${serviceAccount}`
  );
}

const createCommand = (role: string, namespace: string, name: string, verb: Right) =>
  `kubectl create role ${role} -n ${namespace} --verb=${verb} --resource=${OBJECTS[verb].plural}.bpffs.dev --resource-name=${name}`;

/** `kubectl create role` accepts the verb `use` only for PodSecurityPolicies. */
const useCommand = (role: string, namespace: string, name: string) =>
  `echo '{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: ${role}, namespace: ${namespace}}, ` +
  `rules: [{apiGroups: [bpffs.dev], resources: [bpfdelegations], resourceNames: [${name}], verbs: [use]}]}' | kubectl apply -f -`;
