import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { PluginCapability_Service_Type as Capability } from '../../src/rpc/csi.ts';
import { call, createRequest, makeVolume, startHarness } from './harness.ts';

const main = join(import.meta.dirname, '../../src/main.ts');

describe('bad configuration ends with 64 and one line', () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'bpffs-controller-'));
  });
  after(() => rmSync(directory, { recursive: true }));

  const run = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
    new Promise<{ code: unknown; stdout: string; stderr: string }>((resolve) => {
      const [volumes, socket] = [directory, join(directory, 'csi.sock')];
      execFile(
        process.execPath,
        [main, 'controller', ...args],
        { env: { BPFFS_VOLUMES: volumes, BPFFS_ENDPOINT: socket, BPFFS_HTTP_ADDRESS: 'off', ...env } },
        (error, stdout, stderr) => resolve({ code: error?.code ?? 0, stdout, stderr }),
      );
    });

  const cases: readonly (readonly [string, readonly string[], Readonly<Record<string, string>>, RegExp])[] = [
    ['no directory', [], { BPFFS_VOLUMES: '/not/there' }, /--volumes: cannot keep volumes in \/not\/there: ENOENT/],
    ['a file for a directory', ['--volumes', main], {}, /cannot keep volumes in .*: ENOTDIR/],
    ['a relative directory', ['--volumes', 'volumes'], {}, /It must be an absolute path\.$/],
    ['an empty node', [], { BPFFS_DEFAULT_NODE: '' }, /It must have 1 to 256 bytes\.$/],
    ['a flag of the node plugin', ['--catalog', '/x'], {}, /unknown option '--catalog'$/],
    ['a TCP endpoint', ['--endpoint', 'tcp://0.0.0.0:1'], {}, /It must be a unix socket/],
  ];
  for (const [what, args, env, line] of cases) {
    test(what, async () => {
      const { code, stdout, stderr } = await run(args, env);
      assert.equal(code, 64);
      assert.equal(stdout, '');
      assert.match(stderr, /^csi-driver-bpffs: [^\n]*\n$/);
      assert.match(stderr.trimEnd(), line);
    });
  }

  test('no volumes at all', async () => {
    const { code, stderr } = await run([], { BPFFS_VOLUMES: '' });
    assert.equal(code, 64);
    assert.match(stderr, /^csi-driver-bpffs: .*\n$/);
  });
});

test('says who it is, that it is ready, and what it does, in one line for each call that changes something', async () => {
  await using harness = await startHarness();
  const { identity, controller, log, socket } = harness;
  assert.equal(statSync(socket).mode & 0o7777, 0o600);
  assert.equal((await call(identity, identity.getPluginInfo, {})).response?.name, 'csi.bpffs.dev');
  const { response } = await call(identity, identity.getPluginCapabilities, {});
  assert.deepEqual(
    response?.capabilities.map(({ service }) => service?.type),
    [Capability.CONTROLLER_SERVICE, Capability.VOLUME_ACCESSIBILITY_CONSTRAINTS],
  );
  assert.deepEqual((await call(identity, identity.probe, {})).response, { ready: { value: true } });
  const before = log.length;
  const secrets = { token: 'very-secret' };
  const { volumeId } = await makeVolume(harness, 'pvc-logged', { secrets });
  await call(controller, controller.createVolume, createRequest('pvc-bad', { secrets, parameters: { type: 'x' } }));
  await call(controller, controller.deleteVolume, { volumeId, secrets });
  await harness.end('SIGTERM');
  assert.deepEqual(
    log.slice(before).map(({ timestamp: _, durationMs: __, ...rest }) => rest),
    [
      { level: 'INFO', method: 'CreateVolume', code: 'OK', volumeName: 'pvc-logged', message: 'call' },
      {
        level: 'WARN',
        method: 'CreateVolume',
        code: 'INVALID_ARGUMENT',
        volumeName: 'pvc-bad',
        error: 'parameters.type: unknown type "x"; known: maps, shared, workspace',
        message: 'call',
      },
      { level: 'INFO', method: 'DeleteVolume', code: 'OK', volumeId, message: 'call' },
      { level: 'INFO', signal: 'SIGTERM', message: 'stopping' },
      { level: 'INFO', message: 'stopped' },
    ],
  );
  assert.equal(existsSync(socket), false);
});

test('answers over HTTP', async () => {
  await using harness = await startHarness();
  await makeVolume(harness, 'pvc');
  const get = async (path: string) => {
    const response = await fetch(`${harness.http()}${path}`);
    return [response.status, await response.text()] as const;
  };
  assert.deepEqual(await get('/healthz'), [200, 'ok\n']);
  assert.deepEqual(await get('/readyz'), [200, 'ok\n']);
  const [, metrics] = await get('/metrics');
  for (const line of [
    'bpffs_csi_call_duration_seconds_count{method="CreateVolume",code="OK"} 1',
    'bpffs_csi_calls_in_flight 0',
    'bpffs_volume_store_up 1',
    'bpffs_persistent_volumes{type="maps"} 0',
    'bpffs_persistent_volumes{type="shared"} 1',
    'bpffs_persistent_volumes_damaged 0',
  ]) {
    assert(metrics.split('\n').includes(line), `${line} is not in\n${metrics}`);
  }
  assert.doesNotMatch(metrics, /^bpffs_(pinner_up|volumes) /m);
});

test('without its directory it is not ready, and says of no volume that it is gone', async () => {
  await using harness = await startHarness();
  const { identity, controller, volumes } = harness;
  const { volumeId, volumeContext } = await makeVolume(harness, 'pvc');
  renameSync(volumes, `${volumes}-away`);
  const secrets = {};
  const outcomes = [
    await call(controller, controller.createVolume, createRequest('pvc')),
    await call(controller, controller.createVolume, createRequest('pvc-2')),
    await call(controller, controller.deleteVolume, { volumeId, secrets }),
    await call(controller, controller.listVolumes, { maxEntries: 0, startingToken: '' }),
    await call(controller, controller.validateVolumeCapabilities, {
      ...{ volumeId, volumeContext, secrets, parameters: {}, mutableParameters: {} },
      volumeCapabilities: createRequest('').volumeCapabilities,
    }),
  ];
  for (const { code, message } of outcomes) {
    assert.equal(code, 'UNAVAILABLE', message);
    assert.match(message, /^cannot read the volumes: ENOENT/);
  }
  assert.deepEqual((await call(identity, identity.probe, {})).response, { ready: { value: false } });
  assert.equal((await fetch(`${harness.http()}/readyz`)).status, 503);
  assert.equal((await fetch(`${harness.http()}/healthz`)).status, 200);
  assert.match(await (await fetch(`${harness.http()}/metrics`)).text(), /^bpffs_volume_store_up 0$/m);
  renameSync(`${volumes}-away`, volumes);
  assert.equal(
    (await call(controller, controller.createVolume, createRequest('pvc'))).response?.volume?.volumeId,
    volumeId,
  );
  assert.deepEqual((await call(identity, identity.probe, {})).response, { ready: { value: true } });
});

for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
  test(`${signal} and a new start keep everything`, async () => {
    await using harness = await startHarness();
    const { controller } = harness;
    const made = [];
    for (let i = 0; i < 20; i++) made.push(await makeVolume(harness, `pvc-${i}`));
    const [gone] = made.splice(0, 1);
    await call(controller, controller.deleteVolume, { volumeId: gone?.volumeId ?? '', secrets: {} });
    await harness.end(signal);
    await harness.start();
    const { response } = await call(controller, controller.listVolumes, { maxEntries: 0, startingToken: '' });
    const byId = <T extends { readonly volumeId: string }>(a: T, b: T) => (a.volumeId < b.volumeId ? -1 : 1);
    assert.deepEqual(
      response?.entries.map(({ volume }) => volume),
      made.toSorted(byId),
    );
    assert.deepEqual(await makeVolume(harness, 'pvc-1'), made[0]);
    assert.notEqual((await makeVolume(harness, 'pvc-0')).volumeId, gone?.volumeId);
  });
}

test('starts with a damaged volume, and says which it is', async () => {
  const file = 'pvc-half.json';
  await using harness = await startHarness([], (volumes) => writeFileSync(join(volumes, file), '{ "kind": "Bpf'));
  const { log, volumes } = harness;
  const path = join(volumes, file);
  assert.deepEqual(
    log.map(({ level, message, problem }) => ({ level, message, problem })),
    [
      {
        level: 'ERROR',
        message: 'a volume cannot be read',
        problem: `${path} is damaged: it is no JSON; restore it, or remove it when no PersistentVolume and no pod needs the volume any more`,
      },
      { level: 'INFO', message: 'serving', problem: undefined },
    ],
  );
  assert.match((await makeVolume(harness, 'pvc-whole')).volumeId, /^pvc-whole-/);
  assert.equal(readFileSync(path, 'utf8'), '{ "kind": "Bpf');
});

test('says once of a volume that it is damaged since, and again when it is damaged otherwise', async () => {
  await using harness = await startHarness();
  const file = join(harness.volumes, 'pvc.json');
  const metrics = async () => (await fetch(`${harness.http()}/metrics`)).text();
  for (const text of ['', '', '{ "kind": "Bpf']) {
    writeFileSync(file, text);
    assert.match(await metrics(), /^bpffs_persistent_volumes_damaged 1$/m);
  }
  await harness.end('SIGTERM');
  const problems = harness.log.filter(({ level }) => level === 'ERROR').map(({ problem }) => `${problem}`);
  assert.equal(problems.length, 2, problems.join('\n'));
  assert.match(problems[0] ?? '', /it is empty/);
  assert.match(problems[1] ?? '', /it is no JSON/);
});
