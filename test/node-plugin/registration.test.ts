import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { credentials, type ServiceError } from '@grpc/grpc-js';
import { RegistrationClient } from '../../src/rpc/generated/registration.ts';
import { startHarness } from './harness.ts';

test('registers with the kubelet, logs its refusal, and takes the socket away at the end', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'bpffs-registry-'));
  const registrationSocket = join(directory, 'csi.bpffs.dev-reg.sock');
  {
    await using harness = await startHarness({ registrationSocket });
    const kubelet = new RegistrationClient(`unix://${registrationSocket}`, credentials.createInsecure());
    const info = await new Promise((resolve, reject) => {
      kubelet.getInfo({}, (error: ServiceError | null, response) => (error ? reject(error) : resolve(response)));
    });
    assert.deepEqual(info, {
      type: 'CSIPlugin',
      name: 'csi.bpffs.dev',
      endpoint: '/var/lib/kubelet/plugins/csi.bpffs.dev/csi.sock',
      supportedVersions: ['1.0.0'],
    });
    for (const status of [
      { pluginRegistered: true, error: '' },
      { pluginRegistered: false, error: 'another driver has this name' },
    ]) {
      await new Promise((resolve) => kubelet.notifyRegistrationStatus(status, resolve));
    }
    kubelet.close();
    const verdicts = harness.log.filter(({ message }) => String(message).startsWith('the kubelet'));
    assert.deepEqual(
      verdicts.map(({ level, error }) => [level, error]),
      [
        ['INFO', undefined],
        ['ERROR', 'another driver has this name'],
      ],
    );
  }
  assert.equal(existsSync(registrationSocket), false);
  rmSync(directory, { recursive: true });
});
