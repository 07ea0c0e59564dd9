import { BadConfiguration } from '../errors.ts';
import { type Manifest, parseManifests } from '../manifest/manifest.ts';
import { type Access, OBJECTS } from './access.ts';
import { createGrants, type Grants, type Rule, subjectKey } from './rbac.ts';
import { type RbacObject, rbacSchema } from './rbac-schema.ts';

type Role = Extract<RbacObject, { kind: 'Role' | 'ClusterRole' }>;
type Binding = Extract<RbacObject, { kind: 'RoleBinding' | 'ClusterRoleBinding' }>;

/**
 * The RBAC objects of a YAML file. Throws BadConfiguration with every problem and its line; a binding to a role that is not in the file is
 * one.
 */
export function parseGrants(text: string, file: string): Grants {
  const manifests = parseManifests(text, file, rbacSchema);
  const problems: string[] = [];
  const places = new Map<string, string>();
  const roles = new Map<string, readonly Rule[]>();
  for (const { value, at, problem } of manifests) {
    const key = keyOf(value.kind, value.metadata.name, namespaceOf(value));
    const before = places.get(key);
    if (before !== undefined) problems.push(problem(['metadata', 'name'], `${key} is there already, at ${before}`));
    places.set(key, at(['metadata', 'name']));
    if (isRole(value)) roles.set(key, value.rules ?? []);
  }
  const grants = createGrants();
  for (const manifest of manifests) {
    if (!isRole(manifest.value)) problems.push(...bind(manifest as Manifest<Binding>, roles, grants));
  }
  if (problems.length > 0) throw new BadConfiguration(problems);
  return grants;
}

/** Access by the grants of a file. `grants` is called for every check, so that a new version of the file takes effect at once. */
export function createFileAccess(file: string, grants: () => Grants): Access {
  return {
    async check({ namespace, serviceAccount }, name, verb) {
      const rule = grants().allowedBy(namespace, serviceAccount, name, verb);
      if (rule !== undefined) return { allowed: true, rule };
      return { allowed: false, remedy: `allow verb "${verb}" on ${OBJECTS[verb].plural}.bpffs.dev/${name} in ${file}` };
    },
  };
}

function bind(
  { value, at, problem }: Manifest<Binding>,
  roles: ReadonlyMap<string, readonly Rule[]>,
  grants: Grants,
): string[] {
  const namespace = namespaceOf(value);
  const { roleRef, subjects = [] } = value;
  const key = keyOf(roleRef.kind, roleRef.name, roleRef.kind === 'Role' ? namespace : undefined);
  const rules = roles.get(key);
  if (rules === undefined) return [problem(['roleRef', 'name'], `${key} is not in this file`)];
  const problems: string[] = [];
  const binding = `${keyOf(value.kind, value.metadata.name, namespace)} at ${at(['metadata', 'name'])}`;
  for (const [index, subject] of subjects.entries()) {
    if (subject.kind !== 'ServiceAccount') {
      grants.add(subjectKey[subject.kind === 'User' ? 'user' : 'group'](subject.name), namespace, rules, binding);
      continue;
    }
    const home = subject.namespace ?? namespace;
    if (home === undefined) problems.push(problem(['subjects', index, 'namespace'], 'required'));
    else grants.add(subjectKey.user(`system:serviceaccount:${home}:${subject.name}`), namespace, rules, binding);
  }
  return problems;
}

function isRole(object: RbacObject): object is Role {
  return object.kind === 'Role' || object.kind === 'ClusterRole';
}

function namespaceOf({ metadata }: RbacObject): string | undefined {
  return 'namespace' in metadata ? metadata.namespace : undefined;
}

function keyOf(kind: string, name: string, namespace: string | undefined): string {
  return namespace === undefined ? `${kind} ${name}` : `${kind} ${namespace}/${name}`;
}
