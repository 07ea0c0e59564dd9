import { invalidArgument } from '../errors.ts';
import { quote } from '../text.ts';

/**
 * The attribute or parameter hostUsers, which repeats what the pod's spec says: are the pod's users the host's, or has it a
 * user namespace of its own? `field` is the name for an error, INVALID_ARGUMENT.
 */
export function parseHostUsers(hostUsers: string | undefined, field: string): { readonly userNamespace: boolean } {
  if (hostUsers === undefined || hostUsers === 'true') return { userNamespace: false };
  if (hostUsers === 'false') return { userNamespace: true };
  throw invalidArgument(field, `${quote(hostUsers)} is neither "true" nor "false"`);
}
