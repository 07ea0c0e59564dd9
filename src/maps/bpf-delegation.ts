import { failedPrecondition, notFound } from '../errors.ts';
import { objectProblem } from '../kubernetes/object-problem.ts';
import type { KubernetesObject } from '../kubernetes/resource.ts';
import type { Delegation } from '../rpc/pinner.ts';
import { type BpfDelegationObject, bpfDelegationSchema } from './bpf-delegation-schema.ts';
import { didYouMean } from './nearest.ts';

export const BPF_DELEGATIONS = { group: 'bpffs.dev', version: 'v1alpha1', plural: 'bpfdelegations' };

/** Converts a valid object. */
export function fromBpfDelegation({ spec }: BpfDelegationObject): Delegation {
  const { commands, mapTypes = [], programTypes = [], attachTypes = [] } = spec;
  return { commands, mapTypes, programTypes, attachTypes };
}

/**
 * A BpfDelegation from the API server. Throws FAILED_PRECONDITION for one that the CustomResourceDefinition of this version would not have
 * accepted.
 */
export function parseBpfDelegation({ metadata: { name }, apiVersion, kind, spec }: KubernetesObject): Delegation {
  const object = { apiVersion, kind, metadata: { name }, spec };
  const parsed = bpfDelegationSchema.safeParse(object);
  if (parsed.success) return fromBpfDelegation(parsed.data);
  throw failedPrecondition(`BpfDelegation "${name}" cannot be used: ${objectProblem(parsed.error, object)}`);
}

/** NOT_FOUND, with those of `names` that were probably meant. */
export function noSuchDelegation(name: string, names: Iterable<string> = []) {
  return notFound(`there is no BpfDelegation "${name}"${didYouMean(name, names)}`);
}
