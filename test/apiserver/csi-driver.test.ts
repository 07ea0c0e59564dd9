import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { CallError, Code } from '../../src/errors.ts';
import { type CsiDriver, type CsiDriverProblems, followCsiDriver } from '../../src/node/csi-driver.ts';
import { eventually } from '../cluster/eventually.ts';
import { type ApiServer, startApiServer } from './api-server.ts';
import { layCable } from './cable.ts';

let api: ApiServer;
before(async () => {
  api = await startApiServer();
});
after(() => api?.stop());

const NAME = 'csi.bpffs.dev';
const GOOD = {
  podInfoOnMount: true,
  attachRequired: false,
  requiresRepublish: true,
  tokenRequests: [{ audience: NAME }],
  volumeLifecycleModes: ['Persistent', 'Ephemeral'],
};

/** The problems found. */
async function check(driverName: string): Promise<CsiDriverProblems> {
  const driver = followCsiDriver({ client: api.admin, driverName, audience: NAME });
  try {
    await driver.synced();
    // The first list may be older than an object that was just created.
    if (driverName !== NAME) await eventually('it is seen', 10, async () => !problem(driver)?.includes('there is no'));
    const { stopping } = driver.problems();
    assert.equal(problem(driver), stopping.length === 0 ? undefined : stopping.join('; '));
    return driver.problems();
  } finally {
    driver.close();
  }
}

/** The problems that stop the driver, as one text; undefined if there are none. */
function problem(driver: CsiDriver): string | undefined {
  try {
    driver.requireTrusted();
    return undefined;
  } catch (error) {
    assert(error instanceof CallError);
    assert.equal(error.code, Code.FAILED_PRECONDITION);
    return error.message;
  }
}

const csiDriver = (name: string, spec: object) => ({
  apiVersion: 'storage.k8s.io/v1',
  kind: 'CSIDriver',
  metadata: { name },
  spec,
});

let count = 0;
/** Creates an object and returns its name. A new one each time, because most of its fields are immutable. */
async function make(spec: object): Promise<string> {
  count += 1;
  const name = `d${count}.example`;
  await api.apply(csiDriver(name, spec));
  return name;
}

test('a missing object is a problem', async () => {
  assert.deepEqual(await check(NAME), {
    stopping: ['there is no CSIDriver csi.bpffs.dev: without it the kubelet does not say which pod a volume is for'],
    other: [],
  });
});

test('without the API server nobody can tell that it is missing', async (t) => {
  const cable = await layCable(api.port);
  const rule = { apiGroups: ['storage.k8s.io'], resources: ['csidrivers'], verbs: ['list', 'watch'] };
  const client = await api.clientFor('cut-off', [rule], cable.port);
  const timing = { minBackoffMs: 50, maxBackoffMs: 50 };
  const driver = followCsiDriver({ client, driverName: NAME, audience: NAME, timing });
  t.after(() => {
    driver.close();
    cable.close();
  });
  await driver.synced();
  await eventually('it is missing', 10, async () => problem(driver)?.startsWith('there is no CSIDriver') === true);
  cable.cut();
  const unknown = {
    code: Code.UNAVAILABLE,
    message: /^nobody can tell whether "csi\.bpffs\.dev" exists: nothing new is known of csidrivers\.storage\.k8s\.io /,
  };
  await eventually('it is known that nothing is heard', 10, async () => {
    assert.throws(() => driver.requireTrusted(), unknown);
    return true;
  });
  cable.mend();
  await eventually('it is heard', 10, async () => driver.failure() === undefined);
  assert.match(problem(driver) ?? '', /^there is no CSIDriver/);
});

for (const fsGroupPolicy of ['None', 'File', 'ReadWriteOnceWithFSType']) {
  test(`a good object has none, with fsGroupPolicy ${fsGroupPolicy}`, async () => {
    assert.deepEqual(await check(await make({ ...GOOD, fsGroupPolicy })), { stopping: [], other: [] });
  });
}

const wrong: readonly (readonly [object, keyof CsiDriverProblems, RegExp])[] = [
  [{ podInfoOnMount: false }, 'stopping', /: podInfoOnMount must be true: /],
  [{ tokenRequests: [{ audience: '' }] }, 'stopping', /: tokenRequests must have \{audience: "csi\.bpffs\.dev"\}: /],
  [{ requiresRepublish: false }, 'stopping', /: requiresRepublish must be true: /],
  [{ attachRequired: true }, 'other', /: attachRequired must be false: /],
  [{ volumeLifecycleModes: ['Persistent'] }, 'other', /: volumeLifecycleModes must have Ephemeral: /],
  [{ volumeLifecycleModes: ['Ephemeral'] }, 'other', /: volumeLifecycleModes must have Persistent: /],
  [{ storageCapacity: true }, 'other', /: storageCapacity must not be true: /],
  [{ seLinuxMount: true }, 'other', /: seLinuxMount must not be true: /],
];
for (const [change, kind, message] of wrong) {
  test(`${JSON.stringify(change)} is a problem, and the only one: ${kind}`, async () => {
    const name = await make({ ...GOOD, ...change });
    const found = await check(name);
    assert.equal(found.stopping.length + found.other.length, 1);
    assert.match(found[kind][0] ?? '', message);
    assert(found[kind][0]?.startsWith(`CSIDriver ${name}: `));
  });
}

test("Kubernetes's defaults have several", async () => {
  const { stopping, other } = await check(await make({}));
  assert.deepEqual([stopping.length, other.length], [3, 2]);
});

test('an object that is mended, or spoiled, while the driver runs', async () => {
  const name = await make(GOOD);
  const seen: CsiDriverProblems[] = [];
  const driver = followCsiDriver({
    client: api.admin,
    driverName: name,
    audience: NAME,
    changed: (problems) => seen.push(problems),
  });
  try {
    assert.throws(() => driver.requireTrusted(), { code: Code.UNAVAILABLE });
    assert.deepEqual(driver.problems(), { stopping: [], other: [] });
    await eventually('it is seen', 10, async () => problem(driver) === undefined);
    await api.apply(csiDriver(name, { ...GOOD, requiresRepublish: false }));
    await eventually('it is seen', 10, async () => problem(driver)?.includes('requiresRepublish'));
    await api.apply(csiDriver(name, GOOD));
    await eventually('it is seen', 10, async () => problem(driver) === undefined);
    assert.deepEqual(seen.map(({ stopping }) => stopping.length).slice(-3), [0, 1, 0]);
  } finally {
    driver.close();
  }
});

test('what the driver may not read is said', async () => {
  const nobody = await api.clientFor('nobody', []);
  const failed = Promise.withResolvers<string>();
  const driver = followCsiDriver({
    client: nobody,
    driverName: NAME,
    audience: NAME,
    failing: (error) => failed.resolve(error?.message ?? ''),
  });
  assert.match(await failed.promise, /may not list csidrivers\.storage\.k8s\.io: its ClusterRole lacks/);
  assert.throws(() => driver.requireTrusted(), { code: Code.UNAVAILABLE, message: /its ClusterRole lacks/ });
  driver.close();
});
