import { createHash } from 'node:crypto';
import * as z from 'zod/mini';
import { grantsAccess } from '../access/rbac.ts';
import { type Reflector, type ReflectorOptions, startReflector } from '../kubernetes/reflector.ts';
import type { KubernetesObject } from '../kubernetes/resource.ts';
import type { Logger } from '../logger.ts';
import { logOutage } from './log-outage.ts';

/** The RBAC objects that may give a service account a right of this driver, watched. Of these only digests are kept in memory, of others names. */
export interface FollowedRbac {
  /** Of all grants of these rights. */
  digest(): string;
  /** Whether all changes are known up to a moment ago. */
  isFresh(): boolean;
  /** Seconds since the last contact with the API server, by resource. */
  staleness(): Readonly<Record<string, number>>;
  close(): void;
}

export interface FollowedRbacOptions extends Pick<ReflectorOptions<never>, 'client' | 'timing'> {
  readonly log: Pick<Logger, 'info' | 'warn'>;
  /** A grant may have changed, even if the digest is the one it was before: another may have been there for a moment. */
  changed(): void;
}

/** All of a cluster at once would take too much memory. */
const PAGE = 500;
/** A watch is heard about every minute. */
const MAX_STALENESS_SECONDS = 90;

const words = z.nullish(z.array(z.string()));
const rulesSchema = z.nullish(
  z.array(z.object({ apiGroups: words, resources: words, resourceNames: words, verbs: z.array(z.string()) })),
);
const subjectsSchema = z.nullish(
  z.array(z.object({ kind: z.string(), name: z.string(), namespace: z.nullish(z.string()) })),
);
const roleRefSchema = z.object({ kind: z.string(), name: z.string() });

/** A binding whose subjects may be service accounts. */
interface Binding {
  readonly role: string;
  readonly subjects: string;
}

export function followRbac({ log, changed, ...options }: FollowedRbacOptions): FollowedRbac {
  const follow = <T>(plural: string, parse: (object: KubernetesObject) => T, concerns: (value: T) => boolean) => {
    const before = new Map<string, T>();
    let isListed = false;
    return startReflector<T>({
      ...options,
      resource: { group: 'rbac.authorization.k8s.io', version: 'v1', plural },
      pageSize: PAGE,
      parse,
      changed(key, value) {
        const old = before.get(key);
        if (value === undefined) before.delete(key);
        else before.set(key, value);
        if (JSON.stringify(old) === JSON.stringify(value)) return;
        if ((old !== undefined && concerns(old)) || (value !== undefined && concerns(value))) changed();
      },
      listed() {
        if (isListed) changed();
        isListed = true;
      },
      failing: logOutage(log, plural),
    });
  };
  const isRole = (role: string | undefined) => role !== undefined;
  const roles = {
    Role: follow('roles', rulesOf, isRole),
    ClusterRole: follow('clusterroles', rulesOf, isRole),
  };
  /** The digest of the rules of a binding's role; undefined: it is absent, or of nothing of this driver. */
  const rulesBehind = ({ role }: Binding) => roles.ClusterRole.current().get(role) ?? roles.Role.current().get(role);
  const isGrant = (binding: Binding | undefined) => binding !== undefined && rulesBehind(binding) !== undefined;
  const bindings = {
    RoleBinding: follow('rolebindings', bindingOf, isGrant),
    ClusterRoleBinding: follow('clusterrolebindings', bindingOf, isGrant),
  };
  const all: Readonly<Record<string, Reflector<unknown>>> = { ...roles, ...bindings };

  return {
    digest() {
      const grants = Object.entries(bindings).flatMap(([kind, { current }]) =>
        [...current()].flatMap(([key, binding]) => {
          const rules = binding && rulesBehind(binding);
          return rules === undefined ? [] : [JSON.stringify([kind, key, binding, rules])];
        }),
      );
      return hash(grants.sort());
    },
    isFresh: () => Object.values(all).every((one) => one.isSynced && one.staleness() <= MAX_STALENESS_SECONDS),
    staleness: () =>
      Object.fromEntries(Object.entries(all).map(([kind, { staleness }]) => [`${kind.toLowerCase()}s`, staleness()])),
    close() {
      for (const one of Object.values(all)) one.close();
    },
  };
}

/** The digest of the rules about this driver's objects; undefined: there are none. Rules that cannot be read may be about anything. */
function rulesOf({ rules }: KubernetesObject): string | undefined {
  const { success, data } = rulesSchema.safeParse(rules);
  if (!success) return hash(rules);
  const ofMaps = (data ?? []).filter((rule) =>
    grantsAccess({ verbs: rule.verbs, apiGroups: rule.apiGroups ?? [], resources: rule.resources ?? [] }),
  );
  return ofMaps.length === 0 ? undefined : hash(ofMaps);
}

/** Undefined: no service account is among its subjects, or in one of them. */
function bindingOf({ metadata: { namespace }, roleRef, subjects }: KubernetesObject): Binding | undefined {
  const ref = roleRefSchema.safeParse(roleRef).data;
  if (ref === undefined) return undefined;
  const { success, data } = subjectsSchema.safeParse(subjects);
  const accounts = success ? (data ?? []).filter(mayBeServiceAccount) : [subjects];
  if (accounts.length === 0) return undefined;
  // As the reflectors have them: the key of a Role begins with its namespace, and no name has a slash.
  return {
    role: ref.kind === 'Role' ? `${namespace}/${ref.name}` : ref.name,
    subjects: hash(accounts),
  };
}

/** The groups are those of SubjectAccessReviews for pods, see cluster-access.ts. */
function mayBeServiceAccount({ kind, name }: { readonly kind: string; readonly name: string }): boolean {
  if (kind === 'ServiceAccount') return true;
  if (kind === 'User') return name.startsWith('system:serviceaccount:');
  return name === 'system:authenticated' || /^system:serviceaccounts(:|$)/.test(name);
}

function hash(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('base64url').slice(0, 22);
}
