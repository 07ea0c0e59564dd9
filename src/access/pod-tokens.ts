import * as z from 'zod/mini';
import { unauthenticated } from '../errors.ts';

/** Where the kubelet puts the tokens that the CSIDriver object's tokenRequests ask for. */
const TOKENS = 'csi.storage.k8s.io/serviceAccount.tokens';

const tokensSchema = z.record(z.string(), z.object({ token: z.string().check(z.minLength(1)) }));

/**
 * Gives the pod's service account token for an audience. Throws UNAUTHENTICATED saying what the CSIDriver object lacks. A function,
 * so that no log and no text of a request has the tokens.
 */
export type PodTokens = (audience: string) => string;

/**
 * The tokens that the kubelet sent with a request: among the secrets or, where the CSIDriver object does not say
 * serviceAccountTokenInSecrets, in the volume's context.
 */
export function podTokens({ secrets, volumeContext }: RequestParts): PodTokens {
  const text = secrets[TOKENS] ?? volumeContext[TOKENS] ?? '';
  return (audience) => {
    const needs = `the CSIDriver object needs tokenRequests: [{audience: "${audience}"}]`;
    if (text === '') throw unauthenticated(`the kubelet sent no service account token of the pod; ${needs}`);
    const tokens = parse(text);
    if (tokens === undefined) throw unauthenticated(`what the kubelet sent as ${TOKENS} is none`);
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
