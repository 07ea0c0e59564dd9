import { invalidArgument } from '../errors.ts';
import { quote } from '../text.ts';

/**
 * Parses hostUsers, an attribute or parameter that repeats the pod spec's: "false" if the pod has its own user namespace. `field` is its
 * name in an error, INVALID_ARGUMENT.
 */
export function parseHostUsers(hostUsers: string | undefined, field: string): { readonly userNamespace: boolean } {
  if (hostUsers === undefined || hostUsers === 'true') return { userNamespace: false };
  if (hostUsers === 'false') return { userNamespace: true };
  throw invalidArgument(field, `${quote(hostUsers)} is neither "true" nor "false"`);
}
