import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Code } from '../errors.ts';
import { type ApiRequest, fromAnswer } from './api-error.ts';

const EVENTS = { group: 'events.k8s.io', version: 'v1', plural: 'events' };
const creation: ApiRequest = { verb: 'create', resource: EVENTS, key: { namespace: 'prod', name: 'p.1' } };
const status = (message: string, details: object = {}) => ({ kind: 'Status', message, details });

const user = 'events.events.k8s.io is forbidden: User "system:serviceaccount:kube-system:driver"';
const cases: readonly (readonly [string, number, object | string, Code, string])[] = [
  [
    'the ClusterRole lacks a rule',
    403,
    status(`${user} cannot create resource "events" in API group "events.k8s.io" in the namespace "prod"`),
    Code.UNAVAILABLE,
    `the driver may not create events.events.k8s.io in namespace prod: its ClusterRole lacks {apiGroups: ["events.k8s.io"], resources: ["events"], verbs: ["create"]} (${user} cannot create resource "events" in API group "events.k8s.io" in the namespace "prod")`,
  ],
  [
    'admission denies the request',
    403,
    status('admission webhook "policy.example" denied the request: no events today'),
    Code.UNAVAILABLE,
    'the API server does not let the driver create events.events.k8s.io prod/p.1: admission webhook "policy.example" denied the request: no events today',
  ],
  [
    'the object is absent',
    404,
    status('events "p.1" not found', { name: 'p.1', kind: 'events' }),
    Code.NOT_FOUND,
    'there is no events.events.k8s.io prod/p.1',
  ],
  [
    'its namespace is absent',
    404,
    status('namespaces "prod" not found', { name: 'prod', kind: 'namespaces' }),
    Code.UNAVAILABLE,
    'the API server cannot create events.events.k8s.io prod/p.1 now (404): namespaces "prod" not found',
  ],
  [
    'its kind is absent',
    404,
    '404 page not found\n',
    Code.UNAVAILABLE,
    'the API server has no events.events.k8s.io of version v1; is its CustomResourceDefinition installed?',
  ],
];
for (const [what, code, body, expected, message] of cases) {
  test(`${what}: the error says so`, () => {
    const error = fromAnswer(code, body, creation);
    assert.equal(error.message, message);
    assert.equal(error.code, expected);
    assert.equal(error.status, code);
  });
}
