import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { CallError, Code } from '../../src/errors.ts';
import { type CsiDriver, followCsiDriver } from '../../src/kubernetes/csi-driver.ts';
import { eventually } from '../cluster/eventually.ts';
import { type ApiServer, startApiServer } from './api-server.ts';

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

/** What is wrong, as one text; undefined: nothing. */
async function check(driverName: string): Promise<string | undefined> {
  const driver = followCsiDriver({ client: api.admin, driverName, audience: NAME });
  try {
    await driver.synced();
    // The first list may be a little older than an object that was just made.
    if (driverName !== NAME) await eventually('it is seen', 10, async () => !problem(driver)?.includes('there is no'));
    return problem(driver);
  } finally {
    driver.close();
  }
}

function problem(driver: CsiDriver): string | undefined {
  try {
    driver.requireGood();
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
/** Gives its name: most of an object cannot be changed later. */
async function make(spec: object): Promise<string> {
  count += 1;
  const name = `d${count}.example`;
  await api.apply(csiDriver(name, spec));
  return name;
}

test('a missing object is a problem', async () => {
  assert.equal(
    await check(NAME),
    'there is no CSIDriver csi.bpffs.dev: without it the kubelet does not say which pod a volume is for',
  );
});

for (const fsGroupPolicy of ['None', 'File', 'ReadWriteOnceWithFSType']) {
  test(`a good object has none, with fsGroupPolicy ${fsGroupPolicy}`, async () => {
    assert.equal(await check(await make({ ...GOOD, fsGroupPolicy })), undefined);
  });
}

const wrong: readonly (readonly [object, RegExp])[] = [
  [{ podInfoOnMount: false }, /: podInfoOnMount must be true: /],
  [{ attachRequired: true }, /: attachRequired must be false: /],
  [{ requiresRepublish: false }, /: requiresRepublish must be true: /],
  [{ tokenRequests: [{ audience: '' }] }, /: tokenRequests must have \{audience: "csi\.bpffs\.dev"\}: /],
  [{ volumeLifecycleModes: ['Persistent'] }, /: volumeLifecycleModes must have Ephemeral: /],
  [{ volumeLifecycleModes: ['Ephemeral'] }, /: volumeLifecycleModes must have Persistent: /],
  [{ storageCapacity: true }, /: storageCapacity must not be true: /],
  [{ seLinuxMount: true }, /: seLinuxMount must not be true: /],
];
for (const [change, message] of wrong) {
  test(`${JSON.stringify(change)} is a problem, and the only one`, async () => {
    const name = await make({ ...GOOD, ...change });
    const found = (await check(name)) ?? '';
    assert.match(found, message);
    assert(found.startsWith(`CSIDriver ${name}: `) && !found.includes(';  CSIDriver'), found);
  });
}

test("Kubernetes's defaults have several", async () => {
  assert.equal((await check(await make({})))?.split('; CSIDriver ').length, 5);
});

test('an object that is mended, or spoiled, while the driver runs', async () => {
  const name = await make(GOOD);
  const seen: (readonly string[])[] = [];
  const driver = followCsiDriver({
    client: api.admin,
    driverName: name,
    audience: NAME,
    changed: (problems) => seen.push(problems),
  });
  try {
    assert.throws(() => driver.requireGood(), { code: Code.UNAVAILABLE });
    await eventually('it is seen', 10, async () => problem(driver) === undefined);
    await api.apply(csiDriver(name, { ...GOOD, requiresRepublish: false }));
    await eventually('it is seen', 10, async () => problem(driver)?.includes('requiresRepublish'));
    await api.apply(csiDriver(name, GOOD));
    await eventually('it is seen', 10, async () => problem(driver) === undefined);
    assert.deepEqual(seen.map((problems) => problems.length).slice(-3), [0, 1, 0]);
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
  assert.throws(() => driver.requireGood(), { code: Code.UNAVAILABLE, message: /its ClusterRole lacks/ });
  driver.close();
});
