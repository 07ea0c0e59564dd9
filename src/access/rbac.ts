import type { Verb } from './access.ts';

/** What a role allows on BpfMaps: all names, or those listed. */
export type Permissions = { readonly [V in Verb]: { all: boolean; readonly names: Set<string> } };

/** A rule of a Role or ClusterRole. */
export interface Rule {
  readonly apiGroups?: readonly string[] | undefined;
  readonly resources?: readonly string[] | undefined;
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[] | undefined;
}

/** Grants, indexed so that a check looks at eight small sets, however many objects there are. */
export interface Grants {
  /** Adds rules for a subject (see subjectKey); without a namespace: in all namespaces. */
  add(subject: string, namespace: string | undefined, rules: readonly Rule[]): void;
  /** Whether a SubjectAccessReview of the service account for `verb` on the BpfMap in its namespace would allow it. */
  allows(namespace: string, serviceAccount: string, mapName: string, verb: Verb): boolean;
}

/** The keys of subjects for Grants.add. */
export const subjectKey = {
  user: (name: string) => `User ${name}`,
  group: (name: string) => `Group ${name}`,
} as const;

/** Kubernetes's RBAC for one resource: https://kubernetes.io/docs/reference/access-authn-authz/rbac/ */
export function createGrants(): Grants {
  const everywhere = new Map<string, Permissions>();
  const byNamespace = new Map<string, Map<string, Permissions>>();
  return {
    add(subject, namespace, rules) {
      let grants = everywhere;
      if (namespace !== undefined) {
        grants = byNamespace.get(namespace) ?? new Map();
        byNamespace.set(namespace, grants);
      }
      const permissions = grants.get(subject) ?? none();
      grants.set(subject, permissions);
      for (const rule of rules) apply(rule, permissions);
    },
    allows(namespace, serviceAccount, mapName, verb) {
      const local = byNamespace.get(namespace);
      const has = (subject: string) =>
        permits(everywhere.get(subject), mapName, verb) || permits(local?.get(subject), mapName, verb);
      return (
        has(subjectKey.user(`system:serviceaccount:${namespace}:${serviceAccount}`)) ||
        has(subjectKey.group(`system:serviceaccounts:${namespace}`)) ||
        has(subjectKey.group('system:serviceaccounts')) ||
        has(subjectKey.group('system:authenticated'))
      );
    },
  };
}

function none(): Permissions {
  return { read: { all: false, names: new Set() }, write: { all: false, names: new Set() } };
}

function apply({ apiGroups, resources, verbs, resourceNames = [] }: Rule, permissions: Permissions): void {
  if (!matches(apiGroups, 'bpffs.dev') || !matches(resources, 'bpfmaps')) return;
  for (const verb of ['read', 'write'] as const) {
    if (!matches(verbs, verb)) continue;
    if (resourceNames.length === 0) permissions[verb].all = true;
    for (const name of resourceNames) permissions[verb].names.add(name);
  }
}

function matches(words: readonly string[] | undefined, word: string): boolean {
  return words !== undefined && (words.includes('*') || words.includes(word));
}

function permits(permissions: Permissions | undefined, mapName: string, verb: Verb): boolean {
  return permissions !== undefined && (permissions[verb].all || permissions[verb].names.has(mapName));
}
