import { createHash } from 'node:crypto';
import * as z from 'zod/mini';
import { unauthenticated } from '../errors.ts';
import { type Answer, createAnswerCache } from '../kubernetes/answer-cache.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import { understood } from '../kubernetes/understood.ts';
import { type PodIdentity, userName } from './access.ts';

/** Verifies which pod a request is for. */
export interface TokenVerifier {
  /**
   * Returns `pod`, which is what the kubelet says, if the token belongs to it. Throws UNAUTHENTICATED for a token that is invalid for this
   * driver or belongs to another pod, naming the difference, and UNAVAILABLE if it cannot be verified now.
   */
  verify(pod: PodIdentity, token: string, signal: AbortSignal): Promise<PodIdentity>;
}

export interface TokenVerifierOptions {
  readonly client: Pick<KubernetesClient, 'create'>;
  /** The audience that tokens must have: the driver's name. */
  readonly audience: string;
  /** This node: a token for a pod on another node was taken from there. */
  readonly nodeName: string;
  /** How many tokens are cached. */
  readonly maxAnswers?: number;
  /** The age of the cached answer; undefined: it was not cached. */
  lookedUp?(ageSeconds: number | undefined): void;
}

const TOKEN_REVIEWS = { group: 'authentication.k8s.io', version: 'v1', plural: 'tokenreviews' };

/** Prefix of the fields that the API server adds to the user of a token that is bound to a pod. */
const EXTRA = 'authentication.kubernetes.io/';

const texts = z.nullish(z.array(z.string()));
const reviewSchema = z.object({
  status: z.object({
    authenticated: z.nullish(z.boolean()),
    error: z.nullish(z.string()),
    audiences: texts,
    user: z.nullish(z.object({ username: z.nullish(z.string()), extra: z.nullish(z.record(z.string(), texts)) })),
  }),
});

/** What the API server says of a valid token. */
interface Reviewed {
  readonly user: string;
  readonly podName: string | undefined;
  readonly podUid: string | undefined;
  readonly nodeName: string | undefined;
}

/** A node has some hundreds of pods at most. */
const MAX_ANSWERS = 2048;
/** How long a token without an expiry time is cached. */
const MIN_MS = 60_000;

/**
 * Verifies by TokenReview. A valid token is cached, by its SHA-256, until it expires, so that a pod takes about one review an hour instead
 * of one for each request of the kubelet. A pod that is deleted meanwhile publishes nothing more.
 * https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/
 */
export function createTokenVerifier(options: TokenVerifierOptions): TokenVerifier {
  const { client, audience, nodeName } = options;
  const cache = createAnswerCache<Reviewed>({
    maxAnswers: options.maxAnswers ?? MAX_ANSWERS,
    awaited: 'the API server to say who the pod is',
    lookedUp: options.lookedUp,
  });

  async function review(token: string): Promise<Answer<Reviewed>> {
    const review = await client.create(TOKEN_REVIEWS, {
      kind: 'TokenReview',
      spec: { token, audiences: [audience] },
    });
    const { authenticated, error, audiences, user } = understood(reviewSchema, review, 'TokenReview').status;
    if (authenticated !== true) {
      const why = (error || 'no reason given').replaceAll(token, '…').slice(0, 300);
      throw unauthenticated(`the API server does not accept the pod's service account token: ${why}`);
    }
    // An API server that ignores audiences returns none.
    if (!audiences?.includes(audience))
      throw unauthenticated(`the pod's service account token is not for "${audience}"`);
    const extra = (name: string) => user?.extra?.[`${EXTRA}${name}`]?.[0];
    const value = {
      user: user?.username ?? '',
      podName: extra('pod-name'),
      podUid: extra('pod-uid'),
      nodeName: extra('node-name'),
    };
    return { value, goodForMs: lifeOf(token) };
  }

  return {
    async verify(pod, token, signal) {
      const hash = createHash('sha256').update(token).digest('base64');
      const reviewed = await cache.get(hash, () => review(token), signal);
      requireSame('service account', reviewed.user, userName(pod));
      if (reviewed.podName === undefined || reviewed.podUid === undefined) {
        throw unauthenticated("the pod's service account token is bound to no pod");
      }
      if (reviewed.nodeName === undefined) {
        throw unauthenticated("the pod's service account token was made before the pod had a node");
      }
      requireSame('pod', reviewed.podName, pod.podName);
      requireSame('pod uid', reviewed.podUid, pod.podUid);
      if (reviewed.nodeName !== nodeName) {
        throw unauthenticated(
          `the pod's service account token is for a pod on node "${reviewed.nodeName}", and this is "${nodeName}"`,
        );
      }
      return pod;
    },
  };
}

function requireSame(what: string, said: string, expected: string): void {
  if (said === expected) return;
  throw unauthenticated(
    `the service account token is another's: its ${what} is "${said}", and the kubelet says "${expected}"`,
  );
}

/**
 * Milliseconds until the token expires, read from the token itself, which the API server has accepted.
 * https://www.rfc-editor.org/rfc/rfc7519#section-4.1.4
 */
function lifeOf(token: string): number {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'));
    if (typeof claims === 'object' && claims !== null && 'exp' in claims && typeof claims.exp === 'number') {
      return claims.exp * 1000 - Date.now();
    }
  } catch {
    // Not a JSON web token.
  }
  return MIN_MS;
}
