import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { describe, test } from 'node:test';

const main = join(import.meta.dirname, '../main.ts');

/** Runs a command that cannot start, with nothing in its environment but `env`, and gives what it says. */
function refused(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [main, ...args], { env }, (error, stdout, stderr) => {
      try {
        assert.equal(error?.code, 64, stderr);
        assert.equal(stdout, '');
        resolve(stderr);
      } catch (failure) {
        reject(failure);
      }
    });
  });
}

/** Where there is no cluster, each service lacks its files first; in one, the way to the API server. */
const withoutCluster = /^csi-driver-bpffs: --(catalog|volumes) is required without --cluster\n$/;
const noPod =
  /^csi-driver-bpffs: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this is no pod; give --kubeconfig\n$/;

for (const service of [['node', '--node-id=node-1'], ['controller']]) {
  const [name] = service;
  describe(`--cluster of ${name}`, () => {
    test('may come from the environment', async () => {
      assert.match(await refused(service, { BPFFS_CLUSTER: 'true' }), noPod);
      assert.match(await refused(service, { BPFFS_CLUSTER: 'false' }), withoutCluster);
      assert.match(await refused(service), withoutCluster);
    });

    test('needs no value, and goes before the environment', async () => {
      assert.match(await refused([...service, '--cluster', '--http-address=off']), noPod);
      assert.match(await refused([...service, '--cluster'], { BPFFS_CLUSTER: 'false' }), noPod);
      assert.match(await refused([...service, '--cluster=false'], { BPFFS_CLUSTER: 'true' }), withoutCluster);
    });

    for (const value of ['', '0', '1', 'yes', 'False']) {
      test(`is not "${value}"`, async () => {
        const line = await refused(service, { BPFFS_CLUSTER: value });
        assert.match(line, /value '\w*' from env 'BPFFS_CLUSTER' is invalid\. It must be true or false\.\n$/);
      });
    }

    test('does not take half a way to the API server', async () => {
      const half = { BPFFS_CLUSTER: 'true', KUBERNETES_SERVICE_HOST: '10.96.0.1' };
      assert.match(await refused(service, half), noPod);
      assert.match(await refused(service, { ...half, KUBERNETES_SERVICE_PORT: 'tcp://10.96.0.1:443' }), noPod);
    });
  });
}
