import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createKubernetesClient, type KubernetesClient } from '../../src/kubernetes/client.ts';
import { loadKubeconfig } from '../../src/kubernetes/kubeconfig.ts';
import { type ApiServer, startApiServer } from './api-server.ts';
import { startHttpProxy, startSocksProxy } from './proxy.ts';

const CONFIG_MAPS = { group: '', version: 'v1', plural: 'configmaps' };

let api: ApiServer;
let token: string;
before(async () => {
  api = await startApiServer();
  await api.clientFor('reader', [{ apiGroups: [''], resources: ['configmaps'], verbs: ['list', 'watch'] }]);
  token = await api.kubectl(['create', 'token', 'reader', '--namespace=kube-system']);
});
after(() => api?.stop());

/** With the administrator's kubeconfig, changed by these. */
async function withClient(
  change: { readonly user?: object; readonly cluster?: object },
  use: (client: KubernetesClient) => Promise<unknown>,
): Promise<void> {
  const config = JSON.parse(await readFile(api.kubeconfig, 'utf8'));
  if (change.user !== undefined) config.users[0].user = change.user;
  Object.assign(config.clusters[0].cluster, change.cluster);
  const file = join(api.directory, 'changed.kubeconfig');
  await writeFile(file, JSON.stringify(config));
  const client = createKubernetesClient(loadKubeconfig(file));
  try {
    await use(client);
  } finally {
    client.close();
  }
}

test('a command says who asks', async () => {
  const credential = { apiVersion: 'client.authentication.k8s.io/v1', kind: 'ExecCredential', status: { token } };
  const exec = { apiVersion: credential.apiVersion, command: 'echo', args: [JSON.stringify(credential)] };
  await withClient({ user: { exec } }, (client) => client.list(CONFIG_MAPS));
});

test('OpenID Connect says who asks', async () => {
  const provider = { name: 'oidc', config: { 'id-token': token } };
  await withClient({ user: { 'auth-provider': provider } }, (client) => client.list(CONFIG_MAPS));
});

test('one asks for another', async () => {
  const { users } = JSON.parse(await readFile(api.kubeconfig, 'utf8'));
  await withClient({ user: { ...users[0].user, as: 'jane' } }, (client) =>
    assert.rejects(client.list(CONFIG_MAPS), /User "jane" cannot list resource "configmaps"/),
  );
});

for (const [scheme, startProxy] of [
  ['http', startHttpProxy],
  ['socks5', startSocksProxy],
] as const) {
  test(`the way through a proxy: ${scheme}`, async (t) => {
    const proxy = await startProxy();
    t.after(proxy.close);
    const cluster = { 'proxy-url': `${scheme}://127.0.0.1:${proxy.port}`, 'tls-server-name': 'kubernetes' };
    await withClient({ cluster }, async (client) => {
      const { resourceVersion } = await client.list(CONFIG_MAPS);
      const signal = AbortSignal.timeout(10_000);
      const events = client.watch(
        CONFIG_MAPS,
        { resourceVersion, timeoutSeconds: 10 },
        { signal, idleTimeoutMs: 10_000 },
      );
      const next = events[Symbol.asyncIterator]().next();
      await client.create(CONFIG_MAPS, { kind: 'ConfigMap', metadata: { name: scheme, namespace: 'default' } });
      assert.equal((await next).value.object.metadata.name, scheme);
      assert(proxy.connections() >= 2);
      await events[Symbol.asyncIterator]().return?.();
      proxy.close();
      const message = /^the API server at 127\.0\.0\.1:\d+ does not answer: .*ECONNREFUSED/;
      await assert.rejects(client.list(CONFIG_MAPS), { message });
    });
  });
}
