import * as z from 'zod/mini';

const RBAC = 'rbac.authorization.k8s.io';
const apiVersion = z.literal(`${RBAC}/v1`);
const name = z.string().check(z.minLength(1, 'must not be empty'));
const words = z.array(z.string());
const labels = {
  labels: z.optional(z.record(z.string(), z.string())),
  annotations: z.optional(z.record(z.string(), z.string())),
};
const global = z.strictObject({ name, ...labels });
const namespaced = z.strictObject({ name, namespace: name, ...labels });

const rule = z.strictObject({
  apiGroups: z.optional(words),
  resources: z.optional(words),
  resourceNames: z.optional(words),
  nonResourceURLs: z.optional(words),
  verbs: words,
});

const rules = z.optional(z.nullable(z.array(rule)));

const subject = z.discriminatedUnion(
  'kind',
  [
    z.strictObject({
      kind: z.literal('ServiceAccount'),
      apiGroup: z.optional(z.literal('')),
      name,
      namespace: z.optional(name),
    }),
    z.strictObject({ kind: z.literal('User'), apiGroup: z.optional(z.literal(RBAC)), name }),
    z.strictObject({ kind: z.literal('Group'), apiGroup: z.optional(z.literal(RBAC)), name }),
  ],
  'must be ServiceAccount, User or Group',
);

const subjects = z.optional(z.array(subject));
const roleRef = z.strictObject({ apiGroup: z.optional(z.literal(RBAC)), kind: z.enum(['Role', 'ClusterRole']), name });
const clusterRoleRef = z.strictObject({ apiGroup: z.optional(z.literal(RBAC)), kind: z.literal('ClusterRole'), name });

/** The four kinds of RBAC objects, without aggregated ClusterRoles, which have no rules of their own. */
export const rbacSchema = z.discriminatedUnion(
  'kind',
  [
    z.strictObject({ apiVersion, kind: z.literal('ClusterRole'), metadata: global, rules }),
    z.strictObject({ apiVersion, kind: z.literal('Role'), metadata: namespaced, rules }),
    z.strictObject({
      apiVersion,
      kind: z.literal('ClusterRoleBinding'),
      metadata: global,
      roleRef: clusterRoleRef,
      subjects,
    }),
    z.strictObject({ apiVersion, kind: z.literal('RoleBinding'), metadata: namespaced, roleRef, subjects }),
  ],
  'must be ClusterRole, Role, ClusterRoleBinding or RoleBinding',
);

/** A valid RBAC object. */
export type RbacObject = z.infer<typeof rbacSchema>;
