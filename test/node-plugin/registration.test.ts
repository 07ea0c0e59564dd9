import assert from 'node:assert/strict';
import { existsSync, lstatSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { credentials, Metadata } from '@grpc/grpc-js';
import { clientClass } from '../../src/rpc/client.ts';
import { RegistrationService, type RegistrationStatus } from '../../src/rpc/registration.ts';
import { type Harness, startHarness, until } from './harness.ts';

const RegistrationClient = clientClass(RegistrationService);
const directory = mkdtempSync(join(tmpdir(), 'bpffs-registry-'));
const registrationSocket = join(directory, 'csi.bpffs.dev-reg.sock');
after(() => rmSync(directory, { recursive: true }));
beforeEach(() => assert.equal(existsSync(registrationSocket), false));

/** Runs `work` as the kubelet, once it has seen the socket. */
async function asKubelet<T>(work: (kubelet: InstanceType<typeof RegistrationClient>) => Promise<T>): Promise<T> {
  const kubelet = new RegistrationClient(`unix://${registrationSocket}`, credentials.createInsecure());
  try {
    return await work(kubelet);
  } finally {
    kubelet.close();
  }
}

const notify = (status: RegistrationStatus) =>
  asKubelet(
    (kubelet) => new Promise((resolve) => kubelet.notifyRegistrationStatus(status, new Metadata(), {}, resolve)),
  );
const register = () => notify({ pluginRegistered: true, error: '' });

async function readyz({ http }: Harness): Promise<readonly [number, string]> {
  const response = await fetch(`${http}/readyz`);
  return [response.status, await response.text()];
}

async function registered({ http }: Harness): Promise<string | undefined> {
  return /^bpffs_registered (\d)$/m.exec(await (await fetch(`${http}/metrics`)).text())?.[1];
}

test('says who it is, is ready once the kubelet has registered it, and takes the socket away at the end', async () => {
  {
    await using harness = await startHarness({ registrationSocket });
    assert.deepEqual(await readyz(harness), [503, 'the kubelet has not registered the driver yet\n']);
    assert.equal(await registered(harness), '0');
    const info = await asKubelet(
      (kubelet) =>
        new Promise((resolve, reject) => {
          kubelet.getInfo({}, new Metadata(), {}, (error, response) => (error ? reject(error) : resolve(response)));
        }),
    );
    assert.deepEqual(info, {
      type: 'CSIPlugin',
      name: 'csi.bpffs.dev',
      endpoint: '/var/lib/kubelet/plugins/csi.bpffs.dev/csi.sock',
      supportedVersions: ['1.0.0'],
    });
    await register();
    assert.deepEqual(await readyz(harness), [200, 'ok\n']);
    assert.equal(await registered(harness), '1');
  }
  assert.equal(existsSync(registrationSocket), false);
});

test('a kubelet that refuses it finds a new socket, again and again, until it takes it', async () => {
  await using harness = await startHarness({ registrationSocket });
  for (const _ of ['once', 'twice']) {
    const before = made();
    await notify({ pluginRegistered: false, error: 'another driver has this name' });
    assert.deepEqual(await readyz(harness), [
      503,
      'the kubelet did not register the driver: another driver has this name\n',
    ]);
    assert.equal(await registered(harness), '0');
    await until('there is a new socket', () => ![undefined, before].includes(made()));
  }
  await register();
  assert.deepEqual(await readyz(harness), [200, 'ok\n']);
  const refusals = harness.log.filter(({ level }) => level === 'ERROR');
  assert.deepEqual(
    refusals.map(({ message, error, againInMs }) => [message, error, againInMs]),
    [
      ['the kubelet did not register the driver', 'another driver has this name', 1000],
      ['the kubelet did not register the driver', 'another driver has this name', 2000],
    ],
  );
});

/** When the socket was created: a new one may have the old inode number. */
const made = () => lstatSync(registrationSocket, { bigint: true, throwIfNoEntry: false })?.ctimeNs;

test('without its socket it is registered no more, and is again by the new one', async () => {
  await using harness = await startHarness({ registrationSocket });
  await register();
  rmSync(registrationSocket);
  await until('there is a new socket', () => existsSync(registrationSocket));
  assert.deepEqual(await readyz(harness), [503, 'the registration socket was removed\n']);
  await register();
  assert.deepEqual(await readyz(harness), [200, 'ok\n']);
});

test('where no registration is served, being ready does not depend on it', async () => {
  await using harness = await startHarness();
  assert.deepEqual(await readyz(harness), [200, 'ok\n']);
  assert.equal(await registered(harness), undefined);
});
