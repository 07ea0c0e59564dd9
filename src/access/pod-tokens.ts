import * as z from 'zod/mini';
import { unauthenticated } from '../errors.ts';

/** The key of the tokens that the CSIDriver object's tokenRequests ask for. */
const TOKENS = 'csi.storage.k8s.io/serviceAccount.tokens';

const tokensSchema = z.record(z.string(), z.object({ token: z.string().check(z.minLength(1)) }));

/**
 * Returns the pod's service account token for an audience. Throws UNAUTHENTICATED saying what the CSIDriver object lacks. A function, so
 * that tokens do not get into logs and texts.
 */
export type PodTokens = (audience: string) => string;

/**
 * The tokens that the kubelet sent with a request: in the secrets or, without the CSIDriver object's serviceAccountTokenInSecrets, in the
 * volume context.
 */
export function podTokens({ secrets, volumeContext }: RequestParts): PodTokens {
  const text = secrets[TOKENS] ?? volumeContext[TOKENS] ?? '';
  return (audience) => {
    const needs = `the CSIDriver object needs tokenRequests: [{audience: "${audience}"}]`;
    if (text === '') throw unauthenticated(`the kubelet sent no service account token of the pod; ${needs}`);
    const tokens = parse(text);
    if (tokens === undefined)
      throw unauthenticated(`what the kubelet sent as ${TOKENS} is no JSON object of tokens; ${needs}`);
    const token = Object.hasOwn(tokens, audience) ? tokens[audience]?.token : undefined;
    if (token === undefined) {
      throw unauthenticated(`the kubelet sent no service account token of the pod for "${audience}"; ${needs}`);
    }
    return token;
  };
}

interface RequestParts {
  readonly secrets: StringMap;
  readonly volumeContext: StringMap;
}

type StringMap = Readonly<Record<string, string>>;

function parse(text: string): z.infer<typeof tokensSchema> | undefined {
  try {
    return tokensSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
