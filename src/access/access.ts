/**
 * What a pod may do with a map, as RBAC verbs on bpfmaps.bpffs.dev. A map that is given for writing can be read, but a grant of
 * `write` alone gives none for reading only.
 */
export type Verb = 'read' | 'write';

/** On whose behalf a volume is asked for. */
export interface PodIdentity {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly podName: string;
  readonly podUid: string;
}

/** An answer to "may it?"; a refusal says in a few words what would grant it. */
export type Decision = { readonly allowed: true } | { readonly allowed: false; readonly remedy: string };

/** Who may have which map. */
export interface Access {
  /** Whether the pod's service account may `verb` the BpfMap `mapName` in the pod's namespace. */
  check(pod: PodIdentity, mapName: string, verb: Verb, signal: AbortSignal): Promise<Decision>;
}

/** The pod's user name as Kubernetes has it. */
export function userName({ namespace, serviceAccount }: Pick<PodIdentity, 'namespace' | 'serviceAccount'>): string {
  return `system:serviceaccount:${namespace}:${serviceAccount}`;
}
