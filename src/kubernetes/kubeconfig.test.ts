import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { credentialsOf } from './credentials.ts';
import { loadKubeconfig } from './kubeconfig.ts';

let directory: string;
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'bpffs-kubeconfig-'));
});
after(() => rmSync(directory, { recursive: true }));

/** Loads a kubeconfig with this user and cluster. */
function credentials(user: object, cluster: object = {}): ReturnType<typeof credentialsOf> {
  const file = join(directory, 'config');
  const config = {
    'current-context': 'a',
    contexts: [{ name: 'a', context: { cluster: 'c', user: 'u' } }],
    clusters: [{ name: 'c', cluster: { server: 'https://api.example:6443', ...cluster } }],
    users: [{ name: 'u', user }],
  };
  writeFileSync(file, JSON.stringify(config));
  return credentialsOf(loadKubeconfig(file));
}

/** The request headers of a user, by lower-case name. */
async function headersOf(user: object): Promise<Record<string, unknown>> {
  const { headers } = await credentials(user)();
  return Object.fromEntries(Object.entries(headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]));
}

const command = (text: string) => ({
  exec: { apiVersion: 'client.authentication.k8s.io/v1', command: 'sh', args: ['-c', text] },
});

test('tokenFile takes precedence over token', async () => {
  const tokenOf = async (user: object) => (await headersOf(user)).authorization;
  writeFileSync(join(directory, 'token'), 'of the file\n');
  assert.equal(await tokenOf({ token: 'in itself' }), 'Bearer in itself');
  assert.equal(await tokenOf({ tokenFile: 'token' }), 'Bearer of the file');
  assert.equal(await tokenOf({ token: 'in itself', tokenFile: 'token' }), 'Bearer of the file');
});

test('tokenFile is read for each request', async () => {
  writeFileSync(join(directory, 'token'), 'old');
  const ask = credentials({ tokenFile: 'token' });
  await ask();
  writeFileSync(join(directory, 'token'), 'new');
  assert.deepEqual((await ask()).headers, { authorization: 'Bearer new' });
});

test('a user can impersonate another user', async () => {
  assert.deepEqual(await headersOf({ token: 't', as: 'jane' }), {
    authorization: 'Bearer t',
    'impersonate-user': 'jane',
  });
});

test('concurrent requests share one run of a command that gets credentials', async () => {
  const runs = join(directory, 'runs');
  const ask = credentials(command(`echo >>${runs}; echo '{"status":{"token":"of the command"}}'`));
  for (const { headers } of await Promise.all([ask(), ask(), ask()])) {
    assert.deepEqual(headers, { Authorization: 'Bearer of the command' });
  }
  assert.equal(readFileSync(runs, 'utf8'), '\n');
});

test('a failed command is UNAVAILABLE, and the error omits output that may be secret', async () => {
  const why = (text: string) =>
    credentials(command(text))().then(
      () => assert.fail(),
      (error: Error) => error.message,
    );
  const unreadable = 'cannot read the credentials for the API server: ';
  assert.equal(await why('echo locked >&2; exit 1'), `${unreadable}locked`);
  assert.equal(await why('echo eyJhbGciOi'), `${unreadable}what was given for them is no JSON`);
  const absent = credentials({ exec: { command: '/nowhere/login' } })();
  await assert.rejects(absent, { message: `${unreadable}spawn /nowhere/login ENOENT` });
});

test('keys that would change the connection are rejected, not ignored', () => {
  const foreign = (user: object, cluster: object = {}) => {
    try {
      credentials({ token: 't', ...user }, cluster);
      return undefined;
    } catch (error) {
      return (error as Error).message.slice(join(directory, 'config').length);
    }
  };
  assert.equal(foreign({ 'as-groups': ['system:masters'] }), ': user "u": as-groups is not supported');
  assert.equal(foreign({ 'as-uid': '1' }), ': user "u": as-uid is not supported');
  assert.equal(
    foreign({}, { 'insecure-skip-tls-verify': true }),
    ': cluster "c": insecure-skip-tls-verify is not supported',
  );
  assert.equal(foreign({}, { extensions: [], 'insecure-skip-tls-verify': false }), undefined);
  for (const url of ['http://p', 'https://me:secret@p', 'socks5://p'])
    assert.equal(foreign({}, { 'proxy-url': url }), undefined);
  for (const url of ['p', 'me:secret@p', 'ftp://me:secret@p']) {
    assert.equal(foreign({}, { 'proxy-url': url }), ': cluster "c": proxy-url is no URL of an HTTP or SOCKS 5 proxy');
  }
});
