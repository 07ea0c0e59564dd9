import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { kubeconfigConnection } from './kubeconfig.ts';

test('a tokenFile goes before a token', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'bpffs-kubeconfig-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const tokenOf = (user: object) => {
    const file = join(directory, 'config');
    const config = {
      'current-context': 'a',
      contexts: [{ name: 'a', context: { cluster: 'c', user: 'u' } }],
      clusters: [{ name: 'c', cluster: { server: 'https://api.example:6443' } }],
      users: [{ name: 'u', user }],
    };
    writeFileSync(file, JSON.stringify(config));
    return kubeconfigConnection(file).credentials().token;
  };
  writeFileSync(join(directory, 'token'), 'of the file\n');
  assert.equal(tokenOf({ token: 'in itself' }), 'in itself');
  assert.equal(tokenOf({ tokenFile: 'token' }), 'of the file');
  assert.equal(tokenOf({ token: 'in itself', tokenFile: 'token' }), 'of the file');
});
