import { createPrivateKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PodIdentity } from '../../src/access/access.ts';
import type { ApiServer } from './api-server.ts';

export const AUDIENCE = 'csi.bpffs.dev';
export const NODE = 'node-1';

/** Makes a pod that nobody runs, and what it needs. `nodeName`: '' if it is not scheduled yet. */
export async function makePod(
  api: ApiServer,
  namespace: string,
  podName: string,
  serviceAccount: string,
  nodeName: string | undefined = NODE,
): Promise<PodIdentity> {
  const metadata = { namespace, name: podName };
  await api.apply(
    { apiVersion: 'v1', kind: 'Node', metadata: { name: NODE } },
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
  );
  await api.apply(
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { namespace, name: serviceAccount } },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata,
      spec: { nodeName, serviceAccountName: serviceAccount, containers: [{ name: 'c', image: 'none' }] },
    },
  );
  const pod = await api.admin.get({ group: '', version: 'v1', plural: 'pods' }, metadata);
  return { namespace, serviceAccount, podName, podUid: pod.metadata.uid };
}

/** A token as the kubelet requests it for the pod. */
export function podToken(api: ApiServer, pod: PodIdentity, audience = AUDIENCE): Promise<string> {
  const bound = [`--bound-object-kind=Pod`, `--bound-object-name=${pod.podName}`, `--bound-object-uid=${pod.podUid}`];
  return serviceAccountToken(api, pod, [...bound, `--audience=${audience}`]);
}

export function serviceAccountToken(
  api: ApiServer,
  { namespace, serviceAccount }: PodIdentity,
  flags: readonly string[],
): Promise<string> {
  return api.kubectl(['create', 'token', serviceAccount, `--namespace=${namespace}`, ...flags]);
}

/** The same token with changed claims, signed with a key that the API server trusts. */
export function resign(api: ApiServer, token: string, changes: object): string {
  return encode(token, changes, createPrivateKey(readFileSync(join(api.directory, 'pki', 'service-account.key'))));
}

/** The same token with a forged signature. */
export function forge(token: string): string {
  return encode(token, {}, generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey);
}

function encode(token: string, changes: object, key: KeyObject): string {
  const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const body = `${part({ alg: 'RS256', typ: 'JWT' })}.${part({ ...claims, ...changes })}`;
  return `${body}.${sign('sha256', Buffer.from(body), key).toString('base64url')}`;
}
