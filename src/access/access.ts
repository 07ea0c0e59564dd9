/**
 * What a pod may do with a map, as RBAC verbs on bpfmaps.bpffs.dev. A map published for writing can also be read, but a grant of `write`
 * alone does not allow publishing it read-only.
 */
export type Verb = 'read' | 'write';

/** What a pod may do with an object: with a BpfMap, or `use` a BpfDelegation. The verb tells the kind of the object. */
export type Right = Verb | 'use';

/** For each verb, the resource of its rules, and what an object of it is called in texts. */
export const OBJECTS = {
  read: { plural: 'bpfmaps', noun: 'map' },
  write: { plural: 'bpfmaps', noun: 'map' },
  use: { plural: 'bpfdelegations', noun: 'delegation' },
} as const satisfies Record<Right, { readonly plural: string; readonly noun: string }>;

/** The pod that a volume is requested for. */
export interface PodIdentity {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly podName: string;
  readonly podUid: string;
}

/** `rule`: what grants the access, for the log; may be empty. `remedy`: what would grant it, in a few words. */
export type Decision =
  | { readonly allowed: true; readonly rule: string }
  | { readonly allowed: false; readonly remedy: string };

/** Who may have which map, and which delegation. */
export interface Access {
  /** Whether the pod's service account may `verb` the object `name` in the pod's namespace. */
  check(pod: PodIdentity, name: string, verb: Right, signal: AbortSignal): Promise<Decision>;
}

/** The user name of the pod's service account. */
export function userName({ namespace, serviceAccount }: Pick<PodIdentity, 'namespace' | 'serviceAccount'>): string {
  return `system:serviceaccount:${namespace}:${serviceAccount}`;
}
