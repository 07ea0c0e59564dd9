import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { gone, volumeOf } from './claims.ts';
import { nodeMaps } from './node-maps.ts';
import { account, claim, claimSpec, mapRole, pinnedMap, roleBinding, serviceAccount, storageClass } from './objects.ts';
import { claimed, inline, pod, ROOT, UNPRIVILEGED } from './pods.ts';
import { cluster } from './running.ts';
import { useSpace } from './space.ts';

const maps = nodeMaps(cluster);
const space = useSpace();
const { exec, read, start, stop } = space;

const FLOWS = 'e2e-flows';
const LIMITS = 'e2e-limits';
const BOTH = { maps: `${FLOWS}, ${LIMITS}:rw` };
const serviceAccountName = 'app';

/** A pod whose account may read flows and write limits. */
const app: typeof pod = (name, options) => pod(name, { serviceAccount: serviceAccountName, ...options });

before(async () => {
  await maps.create('e2e/flows', { 7: 42 });
  await maps.create('e2e/limits', { 1: 10 });
  await space.apply(
    pinnedMap(FLOWS, 'e2e/flows'),
    pinnedMap(LIMITS, 'e2e/limits', { maxAccess: 'ReadWrite', fileName: 'limits' }),
    serviceAccount(serviceAccountName),
    mapRole(`${space.name}-app`, { read: [FLOWS, LIMITS], write: [LIMITS] }),
    roleBinding('app', `${space.name}-app`, account(space.name, serviceAccountName)),
  );
});
after(() => maps.remove('e2e'));

suite('an inline volume', () => {
  test('is read as nobody without capabilities, and no more', async () => {
    await start(app('reader', { volume: inline({ maps: FLOWS }) }));
    assert.match(await exec('reader', 'grep', '^CapEff', '/proc/self/status'), /\t0{16}$/);
    assert.equal(await exec('reader', 'id', '-u'), '65534');
    // If the kernel adds two files of its own, they are empty.
    assert.match(await exec('reader', 'ls', '-1', '/maps'), new RegExp(`^${FLOWS}(\nmaps\\.debug\nprogs\\.debug)?$`));
    assert.equal(await exec('reader', 'sh', '-c', 'cat /maps/*.debug 2>/dev/null || true'), '');
    assert.equal(await read('reader', `/maps/${FLOWS}`), '7=42');
    await assert.rejects(exec('reader', 'map', 'write', `/maps/${FLOWS}`, '7', '1'), /OBJ_GET.*EROFS/);
    await maps.write('e2e/flows', 7, 43);
    assert.equal(await read('reader', `/maps/${FLOWS}`), '7=43');
    await maps.write('e2e/flows', 7, 42);
    await stop('reader');
  });

  test('is no more to root', async () => {
    await start(app('root', { volume: inline({ maps: FLOWS }), container: { securityContext: ROOT } }));
    assert.equal(await read('root', `/maps/${FLOWS}`), '7=42');
    await assert.rejects(exec('root', 'map', 'write', `/maps/${FLOWS}`, '7', '1'), /OBJ_GET.*EROFS/);
    for (const command of [`rm /maps/${FLOWS}`, 'mkdir /maps/own', `chmod 666 /maps/${FLOWS}`]) {
      await assert.rejects(exec('root', 'sh', '-c', command), /Read-only file system|No such file/, command);
    }
    await stop('root');
  });

  test('writes what was asked for with :rw, and nothing else', async () => {
    await start(app('writer', { volume: inline(BOTH) }));
    await exec('writer', 'map', 'write', '/maps/limits', '2', '20');
    assert.match(await maps.read('e2e/limits'), /^1=10 2=20\b/);
    assert.equal(await read('writer', `/maps/${FLOWS}`), '7=42');
    await assert.rejects(exec('writer', 'map', 'write', `/maps/${FLOWS}`, '7', '1'), /EROFS/);
    await stop('writer');
  });

  // With :rw this is a contradiction for an inline volume, see admission.test.ts; for a claim's volume it makes :rw maps
  // read-only.
  test('may be readOnly', async () => {
    await start(app('read-only', { volume: inline({ maps: `${FLOWS}, ${LIMITS}` }, { readOnly: true }) }));
    assert.equal(await read('read-only', `/maps/${FLOWS}`), '7=42');
    await stop('read-only');
  });

  test('is written by a container that mounts it readOnly, if it was asked for with :rw', async () => {
    await start(app('mounted', { volume: inline(BOTH), mount: { readOnly: true } }));
    await exec('mounted', 'map', 'write', '/maps/limits', '8', '80');
    assert.match(await maps.read('e2e/limits'), / 8=80/);
    await assert.rejects(exec('mounted', 'map', 'write', `/maps/${FLOWS}`, '7', '1'), /EROFS/);
    await stop('mounted');
  });

  test('belongs to the fsGroup of its pod', async () => {
    const spec = { securityContext: { fsGroup: 2000 } };
    await start(app('group', { volume: inline(BOTH), spec }));
    const modes = await exec('group', 'stat', '-c', '%n %a %u:%g', '/maps', `/maps/${FLOWS}`, '/maps/limits');
    assert.deepEqual(modes.split('\n'), ['/maps 550 0:2000', `/maps/${FLOWS} 440 0:2000`, '/maps/limits 660 0:2000']);
    await exec('group', 'map', 'write', '/maps/limits', '3', '30');
    assert.equal(await read('group', `/maps/${FLOWS}`), '7=42');
    await stop('group');
  });

  // Admission adds the attribute hostUsers.
  test('is used by a pod with users of its own', async () => {
    const volume = inline(BOTH);
    const container = { securityContext: ROOT };
    await start(app('users', { volume, spec: { hostUsers: false }, container }));
    assert.doesNotMatch(await exec('users', 'cat', '/proc/self/uid_map'), /^\s*0\s+0\s/);
    assert.equal(await read('users', `/maps/${FLOWS}`), '7=42');
    await exec('users', 'map', 'write', '/maps/limits', '4', '40');
    await assert.rejects(exec('users', 'map', 'write', `/maps/${FLOWS}`, '7', '1'), /EROFS/);
    await assert.rejects(exec('users', 'touch', '/maps/own'), /Read-only file system/);
    await stop('users');
  });

  test('is there for init containers and sidecars', async () => {
    const { image, command, securityContext, volumeMounts } =
      app('', { volume: inline(BOTH) }).spec.containers[0] ?? {};
    const container = { image, securityContext, volumeMounts };
    const initContainers = [
      { name: 'init', ...container, command: ['map', 'write', '/maps/limits', '5', '50'] },
      { name: 'sidecar', ...container, command, restartPolicy: 'Always' },
    ];
    await start(app('several', { volume: inline(BOTH), spec: { initContainers } }));
    assert.match(await read('several/sidecar', '/maps/limits'), / 5=50/);
    assert.match(await read('several', '/maps/limits'), / 5=50/);
    await stop('several');
  });

  test('is mounted by subPath, one map as a file', async () => {
    const mountPath = '/run/limits';
    await start(app('sub-path', { volume: inline(BOTH), mount: { mountPath, subPath: 'limits' } }));
    await exec('sub-path', 'map', 'write', mountPath, '6', '60');
    await stop('sub-path');
    await start(app('sub-path-read', { volume: inline(BOTH), mount: { mountPath, subPath: FLOWS } }));
    assert.equal(await read('sub-path-read', mountPath), '7=42');
    await assert.rejects(exec('sub-path-read', 'map', 'write', mountPath, '7', '1'), /EROFS/);
    await stop('sub-path-read');
  });
});

suite('a namespace of Pod Security "restricted"', () => {
  const restricted = useSpace({ 'pod-security.kubernetes.io/enforce': 'restricted' });
  const RUNTIME_DEFAULT = { type: 'RuntimeDefault' };
  const SHIPPED = { type: 'Localhost', localhostProfile: 'csi-driver-bpffs/bpf-consumer.json' };

  before(() =>
    restricted.apply(
      serviceAccount(serviceAccountName),
      roleBinding('app', `${space.name}-app`, account(restricted.name, serviceAccountName)),
    ),
  );
  const under = (seccompProfile: object) => ({ container: { securityContext: { ...UNPRIVILEGED, seccompProfile } } });

  test('has maps under the seccomp profile that the driver installs', async () => {
    await restricted.start(app('profiled', { volume: inline(BOTH), ...under(SHIPPED) }));
    assert.equal(await restricted.read('profiled', `/maps/${FLOWS}`), '7=42');
    await restricted.exec('profiled', 'map', 'write', '/maps/limits', '9', '90');
    await assert.rejects(restricted.exec('profiled', 'map', 'create', '/maps/own'), /MAP_CREATE.*EPERM/);
  });

  test('has none under RuntimeDefault', async () => {
    await restricted.start(app('default', { volume: inline(BOTH), ...under(RUNTIME_DEFAULT) }));
    await assert.rejects(restricted.read('default', `/maps/${FLOWS}`), /OBJ_GET.*EPERM/);
  });
});

suite('a claim', () => {
  const NEW_MAPS = '- { name: counts, type: hash, keySize: 4, valueSize: 8, maxEntries: 64 }';

  test('of a class of maps has the maps, and takes the grants of each pod', async () => {
    const name = `${space.name}-maps`;
    await space.apply(
      storageClass(name, { maps: BOTH.maps }, { volumeBindingMode: 'Immediate' }),
      claim('maps', name, 'ReadWriteMany'),
    );
    await space.kubectl('wait', '--for=jsonpath={.status.phase}=Bound', '--timeout=30s', 'pvc/maps');
    await start(
      app('maps-1', { volume: claimed('maps') }),
      app('maps-2', { volume: claimed('maps', { readOnly: true }) }),
    );
    await exec('maps-1', 'map', 'write', '/maps/limits', '11', '110');
    assert.match(await read('maps-2', '/maps/limits'), / 11=110/);
    await assert.rejects(exec('maps-2', 'map', 'write', '/maps/limits', '11', '1'), /EROFS/);
    await space.apply(pod('maps-3', { volume: claimed('maps') }));
    await space.described('pod/maps-3', /PermissionDenied.*:default may not read map "e2e-flows"/);
    await stop('maps-1', 'maps-2', 'maps-3');
  });

  test('of a class of shared maps is shared by its pods, and kept for the next', async () => {
    const name = `${space.name}-shared`;
    await space.apply(storageClass(name, { type: 'shared', newMaps: NEW_MAPS }), claim('shared', name));
    await start(
      pod('producer', { volume: claimed('shared') }),
      pod('consumer', { volume: claimed('shared', { readOnly: true }) }),
    );
    await exec('producer', 'map', 'write', '/maps/counts', '1', '100');
    assert.equal(await read('consumer', '/maps/counts'), '1=100');
    await assert.rejects(exec('consumer', 'map', 'write', '/maps/counts', '1', '1'), /EROFS/);
    await stop('producer', 'consumer');
    await start(pod('later', { volume: claimed('shared') }));
    assert.equal(await read('later', '/maps/counts'), '1=100');
    await stop('later');
  });

  test('of a class of workspaces keeps what its pod pins', async () => {
    const name = `${space.name}-workspace`;
    await space.apply(storageClass(name, { type: 'workspace' }), claim('workspace', name));
    const loader = { securityContext: { ...ROOT, capabilities: { add: ['BPF'] } } };
    await start(pod('loader', { volume: claimed('workspace'), container: loader }));
    assert.equal(await exec('loader', 'loader', '-once', '/maps'), '0 1');
    await stop('loader');
    await start(
      pod('loader', { volume: claimed('workspace'), container: loader }),
      pod('viewer', { volume: claimed('workspace', { readOnly: true }) }),
    );
    assert.equal(await exec('loader', 'loader', '-once', '/maps'), '0 2');
    assert.equal(await exec('viewer', 'consumer', '/maps'), '0 2');
    await assert.rejects(exec('viewer', 'loader', '-once', '/maps'), /read-only file system/);
    await stop('loader', 'viewer');
  });

  test('is made with a pod and goes with it: a generic ephemeral volume', async () => {
    const name = `${space.name}-own`;
    await space.apply(storageClass(name, { type: 'shared', newMaps: NEW_MAPS }));
    const volume = { ephemeral: { volumeClaimTemplate: { spec: claimSpec(name) } } };
    await start(pod('own', { volume }));
    await exec('own', 'map', 'write', '/maps/counts', '1', '1');
    const made = await volumeOf(space, 'own-maps');
    await stop('own');
    await gone(space, 'own-maps', made);
  });
});
