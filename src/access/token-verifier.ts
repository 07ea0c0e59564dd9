import { createHash } from 'node:crypto';
import * as z from 'zod/mini';
import { unauthenticated } from '../errors.ts';
import { type Answer, createAnswerCache } from '../kubernetes/answer-cache.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import { understood } from '../kubernetes/understood.ts';
import { type PodIdentity, userName } from './access.ts';

/** Who asks? */
export interface TokenVerifier {
  /**
   * The pod, if the token is its own; `pod`: what the kubelet says of it. Throws UNAUTHENTICATED for a token that is not good
   * for this driver or is another pod's, naming what differs, and UNAVAILABLE when nobody can tell.
   */
  verify(pod: PodIdentity, token: string, signal: AbortSignal): Promise<PodIdentity>;
}

export interface TokenVerifierOptions {
  readonly client: Pick<KubernetesClient, 'create'>;
  /** What tokens have to be for: the driver's name. */
  readonly audience: string;
  /** This node's: a token that names another was taken from there. */
  readonly nodeName: string;
  /** How many tokens are remembered. */
  readonly maxAnswers?: number;
  /** How old the answer was that was known; undefined: there was none. */
  lookedUp?(ageSeconds: number | undefined): void;
}

const TOKEN_REVIEWS = { group: 'authentication.k8s.io', version: 'v1', plural: 'tokenreviews' };

/** What the API server adds to the user of a token that is bound to a pod. */
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

/** What a good token says. */
interface Reviewed {
  readonly user: string;
  readonly podName: string | undefined;
  readonly podUid: string | undefined;
  readonly nodeName: string | undefined;
}

/** A node has some hundreds of pods at most. */
const MAX_ANSWERS = 2048;
/** Of a token that does not say when it expires. */
const MIN_MS = 60_000;

/**
 * By TokenReview. A good token is remembered, by its SHA-256, until it expires, so that a pod is asked about once an hour or so and
 * not at each of the kubelet's repetitions; a pod that is deleted meanwhile has nothing left to publish.
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
    // None are given back by an API server that did not look at them.
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
      const said = await cache.get(hash, () => review(token), signal);
      requireSame('service account', said.user, userName(pod));
      if (said.podName === undefined || said.podUid === undefined) {
        throw unauthenticated("the pod's service account token is bound to no pod");
      }
      if (said.nodeName === undefined) {
        throw unauthenticated("the pod's service account token was made before the pod had a node");
      }
      requireSame('pod', said.podName, pod.podName);
      requireSame('pod uid', said.podUid, pod.podUid);
      if (said.nodeName !== nodeName) {
        throw unauthenticated(
          `the pod's service account token is for a pod on node "${said.nodeName}", and this is "${nodeName}"`,
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
 * Milliseconds for which it is good, from the token itself, which the API server has found good.
 * https://www.rfc-editor.org/rfc/rfc7519#section-4.1.4
 */
function lifeOf(token: string): number {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'));
    if (typeof claims === 'object' && claims !== null && 'exp' in claims && typeof claims.exp === 'number') {
      return claims.exp * 1000 - Date.now();
    }
  } catch {
    // No JSON web token.
  }
  return MIN_MS;
}
