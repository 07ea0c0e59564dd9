import { OBJECTS, type Right } from './access.ts';

/** What allows each verb on its objects: on all names, and on those listed. */
type Permissions = { readonly [R in Right]: { all: string | undefined; readonly names: Map<string, string> } };

/** A rule of a Role or ClusterRole. */
export interface Rule {
  readonly apiGroups?: readonly string[] | undefined;
  readonly resources?: readonly string[] | undefined;
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[] | undefined;
}

/** Grants, indexed so that a check looks at eight small sets, however many objects there are. */
export interface Grants {
  /** Adds rules for a subject (see subjectKey); without a namespace: in all namespaces. `binding`: what gives them, not empty. */
  add(subject: string, namespace: string | undefined, rules: readonly Rule[], binding: string): void;
  /** Which binding allows the service account `verb` on the object in its namespace, as a SubjectAccessReview would; undefined: none. */
  allowedBy(namespace: string, serviceAccount: string, name: string, verb: Right): string | undefined;
}

/** The keys of subjects for Grants.add. */
export const subjectKey = {
  user: (name: string) => `User ${name}`,
  group: (name: string) => `Group ${name}`,
} as const;

/** Kubernetes's RBAC for the resources of bpffs.dev: https://kubernetes.io/docs/reference/access-authn-authz/rbac/ */
export function createGrants(): Grants {
  const everywhere = new Map<string, Permissions>();
  const byNamespace = new Map<string, Map<string, Permissions>>();
  return {
    add(subject, namespace, rules, binding) {
      let grants = everywhere;
      if (namespace !== undefined) {
        grants = byNamespace.get(namespace) ?? new Map();
        byNamespace.set(namespace, grants);
      }
      const permissions = grants.get(subject) ?? none();
      grants.set(subject, permissions);
      for (const rule of rules) apply(rule, permissions, binding);
    },
    allowedBy(namespace, serviceAccount, name, verb) {
      const local = byNamespace.get(namespace);
      const by = (subject: string) =>
        permittedBy(everywhere.get(subject), name, verb) ?? permittedBy(local?.get(subject), name, verb);
      return (
        by(subjectKey.user(`system:serviceaccount:${namespace}:${serviceAccount}`)) ??
        by(subjectKey.group(`system:serviceaccounts:${namespace}`)) ??
        by(subjectKey.group('system:serviceaccounts')) ??
        by(subjectKey.group('system:authenticated'))
      );
    },
  };
}

const RIGHTS = Object.keys(OBJECTS) as Right[];

function none(): Permissions {
  const permission = () => ({ all: undefined, names: new Map() });
  return { read: permission(), write: permission(), use: permission() };
}

/** Whether the rule allows a verb of this driver on any of its objects. */
export function grantsAccess(rule: Rule): boolean {
  return RIGHTS.some((verb) => isAbout(rule, verb));
}

function isAbout({ apiGroups, resources, verbs }: Rule, verb: Right): boolean {
  return matches(apiGroups, 'bpffs.dev') && matches(resources, OBJECTS[verb].plural) && matches(verbs, verb);
}

function apply(rule: Rule, permissions: Permissions, binding: string): void {
  const { resourceNames = [] } = rule;
  for (const verb of RIGHTS) {
    if (!isAbout(rule, verb)) continue;
    if (resourceNames.length === 0) permissions[verb].all = binding;
    for (const name of resourceNames) permissions[verb].names.set(name, binding);
  }
}

function matches(words: readonly string[] | undefined, word: string): boolean {
  return words !== undefined && (words.includes('*') || words.includes(word));
}

function permittedBy(permissions: Permissions | undefined, name: string, verb: Right): string | undefined {
  return permissions?.[verb].all ?? permissions?.[verb].names.get(name);
}
