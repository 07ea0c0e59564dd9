import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Connection } from './connection.ts';
import { kubeconfigConnection } from './kubeconfig.ts';

let directory: string;
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'bpffs-kubeconfig-'));
});
after(() => rmSync(directory, { recursive: true }));

function connection(user: object, cluster: object = {}): Connection {
  const file = join(directory, 'config');
  const config = {
    'current-context': 'a',
    contexts: [{ name: 'a', context: { cluster: 'c', user: 'u' } }],
    clusters: [{ name: 'c', cluster: { server: 'https://api.example:6443', ...cluster } }],
    users: [{ name: 'u', user }],
  };
  writeFileSync(file, JSON.stringify(config));
  return kubeconfigConnection(file);
}

test('a tokenFile goes before a token', () => {
  const tokenOf = (user: object) => connection(user).credentials().token;
  writeFileSync(join(directory, 'token'), 'of the file\n');
  assert.equal(tokenOf({ token: 'in itself' }), 'in itself');
  assert.equal(tokenOf({ tokenFile: 'token' }), 'of the file');
  assert.equal(tokenOf({ token: 'in itself', tokenFile: 'token' }), 'of the file');
});

test('what would make it another connection is refused, not passed over', () => {
  const foreign = (user: object, cluster: object = {}) => {
    try {
      connection({ token: 't', ...user }, cluster);
      return undefined;
    } catch (error) {
      return (error as Error).message.slice(join(directory, 'config').length);
    }
  };
  assert.equal(foreign({ as: 'root' }), ': user "u": as is not supported');
  assert.equal(foreign({ 'as-groups': ['system:masters'] }), ': user "u": as-groups is not supported');
  assert.equal(foreign({ exec: {} }), ': user "u": exec is not supported');
  assert.equal(foreign({}, { 'proxy-url': 'http://p' }), ': cluster "c": proxy-url is not supported');
  assert.equal(
    foreign({}, { 'insecure-skip-tls-verify': true }),
    ': cluster "c": insecure-skip-tls-verify is not supported',
  );
  assert.equal(foreign({}, { extensions: [] }), undefined);
});
