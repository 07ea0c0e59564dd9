import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { controllerCommand } from './commands.ts';

const main = join(import.meta.dirname, '../main.ts');

/** Runs a command that must exit with status 64, with `env` as its whole environment. Returns its stderr. */
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

/** What is missing first: files without --cluster, the API server's address with it. */
const withoutCluster = /^csi-driver-bpffs: --(catalog|volumes) is required without --cluster\n$/;
const noPod =
  /^csi-driver-bpffs: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this is no pod; give --kubeconfig\n$/;

for (const service of [['node', '--node-id=node-1'], ['controller']]) {
  const [name] = service;
  describe(`--cluster of ${name}`, () => {
    test('can come from the environment', async () => {
      assert.match(await refused(service, { BPFFS_CLUSTER: 'true' }), noPod);
      assert.match(await refused(service, { BPFFS_CLUSTER: 'false' }), withoutCluster);
      assert.match(await refused(service), withoutCluster);
    });

    test('needs no value, and overrides the environment', async () => {
      assert.match(await refused([...service, '--cluster', '--http-address=off']), noPod);
      assert.match(await refused([...service, '--cluster'], { BPFFS_CLUSTER: 'false' }), noPod);
      assert.match(await refused([...service, '--cluster=false'], { BPFFS_CLUSTER: 'true' }), withoutCluster);
    });

    for (const value of ['', '0', '1', 'yes', 'False']) {
      test(`rejects "${value}"`, async () => {
        const line = await refused(service, { BPFFS_CLUSTER: value });
        assert.match(line, /value '\w*' from env 'BPFFS_CLUSTER' is invalid\. It must be true or false\.\n$/);
      });
    }

    test('needs both host and port of the API server', async () => {
      const half = { BPFFS_CLUSTER: 'true', KUBERNETES_SERVICE_HOST: '10.96.0.1' };
      assert.match(await refused(service, half), noPod);
      assert.match(await refused(service, { ...half, KUBERNETES_SERVICE_PORT: 'tcp://10.96.0.1:443' }), noPod);
    });
  });
}

test('an HTTP address without a host is that of all families', async () => {
  const addresses: unknown[] = [];
  for (const address of [':9808', '0.0.0.0:9808', '[::]:9808']) {
    const command = controllerCommand(async ({ http }) => void addresses.push(http));
    await command.parseAsync([`--http-address=${address}`, '--volumes=/run/volumes'], { from: 'user' });
  }
  assert.deepEqual(
    addresses,
    ['', '0.0.0.0', '::'].map((host) => ({ host, port: 9808 })),
  );
});
