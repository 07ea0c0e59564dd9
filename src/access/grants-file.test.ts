import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BadConfiguration } from '../errors.ts';
import type { Right } from './access.ts';
import { parseGrants } from './grants-file.ts';

const API = 'apiVersion: rbac.authorization.k8s.io/v1';
const RULE = '{ apiGroups: [bpffs.dev], resources: [bpfmaps], verbs: [read], resourceNames: [flows] }';

const role = (rule = RULE) => `${API}\nkind: ClusterRole\nmetadata: { name: r }\nrules: [${rule}]\n---\n`;
const everywhere = (subject: string) =>
  `${API}\nkind: ClusterRoleBinding\nmetadata: { name: b }\nroleRef: { kind: ClusterRole, name: r }\nsubjects: [${subject}]\n`;
const inProd = (subject: string) =>
  `${API}\nkind: RoleBinding\nmetadata: { name: b, namespace: prod }\nroleRef: { kind: ClusterRole, name: r }\nsubjects: [${subject}]\n`;
const collector = '{ kind: ServiceAccount, name: collector, namespace: prod }';

function may(yaml: string, { ns = 'prod', sa = 'collector', map = 'flows', verb = 'read' as Right } = {}): boolean {
  return parseGrants(yaml, 'g.yaml').allowedBy(ns, sa, map, verb) !== undefined;
}

describe('as a SubjectAccessReview would', () => {
  const yes: readonly (readonly [string, string])[] = [
    ['a cluster binding of a service account', role() + everywhere(collector)],
    ['a binding in the namespace', role() + inProd(collector)],
    [
      'a service account without namespace, in a RoleBinding',
      role() + inProd('{ kind: ServiceAccount, name: collector }'),
    ],
    ['a user', role() + everywhere('{ kind: User, name: "system:serviceaccount:prod:collector" }')],
    ['all service accounts', role() + everywhere('{ kind: Group, name: "system:serviceaccounts" }')],
    ["the namespace's service accounts", role() + everywhere('{ kind: Group, name: "system:serviceaccounts:prod" }')],
    ['all authenticated', role() + everywhere('{ kind: Group, name: "system:authenticated" }')],
    ['any verb', role(RULE.replace('[read]', '["*"]')) + everywhere(collector)],
    [
      'any resource of any group',
      role('{ apiGroups: ["*"], resources: ["*"], verbs: [read] }') + everywhere(collector),
    ],
    ['any name', role(RULE.replace('[flows]', '[]')) + everywhere(collector)],
    [
      'one rule of several',
      role(`{ apiGroups: [""], resources: [pods], verbs: ["*"] }, ${RULE}`) + everywhere(collector),
    ],
    [
      'a Role of the namespace',
      `${API}\nkind: Role\nmetadata: { name: r, namespace: prod }\nrules: [${RULE}]\n---\n${inProd(collector).replace('ClusterRole', 'Role')}`,
    ],
  ];
  for (const [what, yaml] of yes) test(`allows ${what}`, () => assert.equal(may(yaml), true));

  const no: readonly (readonly [string, string, Parameters<typeof may>[1]?])[] = [
    ['when nothing is granted', ''],
    ['when there is no binding', role()],
    ['another service account', role() + everywhere(collector), { sa: 'other' }],
    ['a service account of this name in another namespace', role() + everywhere(collector), { ns: 'dev' }],
    ['another map', role() + everywhere(collector), { map: 'limits' }],
    ['write with a grant of read', role() + everywhere(collector), { verb: 'write' }],
    [
      'beyond the namespace of a RoleBinding',
      role() + inProd('{ kind: Group, name: "system:authenticated" }'),
      { ns: 'dev' },
    ],
    ['by another API group', role(RULE.replace('bpffs.dev', 'other.dev')) + everywhere(collector)],
    ['by another resource', role(RULE.replace('bpfmaps', 'bpfmaps/status')) + everywhere(collector)],
    ['by resourceNames: ["*"], which is a name', role(RULE.replace('[flows]', '["*"]')) + everywhere(collector)],
    ['a group of another namespace', role() + everywhere('{ kind: Group, name: "system:serviceaccounts:dev" }')],
  ];
  for (const [what, yaml, who] of no) test(`denies ${what}`, () => assert.equal(may(yaml, who), false));
});

test('use is of delegations, and read and write are of maps', () => {
  const granted = (resource: string) =>
    role(`{ apiGroups: [bpffs.dev], resources: [${resource}], verbs: ["*"] }`) + everywhere(collector);
  const rights = (yaml: string) => (['read', 'write', 'use'] as const).filter((verb) => may(yaml, { verb }));
  assert.deepEqual(rights(granted('bpfmaps')), ['read', 'write']);
  assert.deepEqual(rights(granted('bpfdelegations')), ['use']);
  assert.deepEqual(rights(granted('bpfmaps, bpfdelegations')), ['read', 'write', 'use']);
});

test('names the binding that grants, and its place', () => {
  const grants = parseGrants(`${role()}${inProd(collector)}`, 'g.yaml');
  assert.equal(grants.allowedBy('prod', 'collector', 'flows', 'read'), 'RoleBinding prod/b at g.yaml:8:13');
});

test('reports every problem with its line and column', () => {
  const yaml = `${role()}${everywhere('{ kind: ServiceAccount, name: a }')}---\n${inProd('{ kind: Robot, name: a }')}---\n${role()}${inProd(
    collector,
  ).replace('ClusterRole', 'Role')}`;
  const problems = (text: string) => {
    try {
      parseGrants(text, 'g.yaml');
    } catch (error) {
      assert(error instanceof BadConfiguration);
      return error.problems;
    }
    return [];
  };
  assert.deepEqual(problems(yaml), ['g.yaml:16:14: subjects[0].kind: must be ServiceAccount, User or Group']);
  assert.deepEqual(problems(yaml.replace('Robot', 'User')), [
    'g.yaml:20:13: metadata.name: ClusterRole r is there already, at g.yaml:3:13',
    'g.yaml:25:13: metadata.name: RoleBinding prod/b is there already, at g.yaml:14:13',
    'g.yaml:10:12: subjects[0].namespace: required',
    'g.yaml:26:24: roleRef.name: Role prod/r is not in this file',
  ]);
  assert.deepEqual(problems(`${API}\nkind: Secret\nmetadata: { name: a }\n`), [
    'g.yaml:2:1: kind: must be ClusterRole, Role, ClusterRoleBinding or RoleBinding',
  ]);
});
