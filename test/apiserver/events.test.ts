import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { PodIdentity } from '../../src/access/access.ts';
import type { KubernetesClient } from '../../src/kubernetes/client.ts';
import {
  createEventRecorder,
  type EventRecorder,
  type EventRecorderOptions,
} from '../../src/kubernetes/event-recorder.ts';
import { createNodeEvents } from '../../src/node/node-events.ts';
import { createPodEvents, type PodEvents } from '../../src/node/pod-events.ts';
import { eventually } from '../cluster/eventually.ts';
import { startFakePinner } from '../node-plugin/fake-pinner.ts';
import { startHarness } from '../node-plugin/harness.ts';
import { type ApiServer, startApiServer } from './api-server.ts';
import { makePod } from './pods.ts';

const EVENTS = { group: 'events.k8s.io', version: 'v1', plural: 'events' };

let api: ApiServer;
let client: KubernetesClient;
let pod: PodIdentity;
const failures: string[] = [];

before(async () => {
  api = await startApiServer();
  client = await api.clientFor('driver', [
    { apiGroups: ['events.k8s.io'], resources: ['events'], verbs: ['create', 'patch'] },
  ]);
});
after(() => api?.stop());

let count = 0;
async function start(options: Partial<EventRecorderOptions> = {}): Promise<PodEvents & Pick<EventRecorder, 'close'>> {
  count += 1;
  failures.length = 0;
  pod = await makePod(api, 'prod', `agent-${count}`, 'agent');
  const recorder = startRecorder(options);
  return { ...createPodEvents(recorder), close: recorder.close };
}

function startRecorder(options: Partial<EventRecorderOptions> = {}): EventRecorder {
  return createEventRecorder({
    client,
    driverName: 'csi.bpffs.dev',
    instance: 'node-1',
    failed: (error) => failures.push(error.message),
    ...options,
  });
}

interface Seen {
  readonly metadata: { readonly name: string };
  readonly reason: string;
  readonly type: string;
  readonly note: string;
  readonly series?: { readonly count: number };
}

async function seen(): Promise<readonly Seen[]> {
  const { items } = await api.admin.list(EVENTS, { namespace: 'prod', fieldSelector: `regarding.name=${pod.podName}` });
  return items as unknown as readonly Seen[];
}

test('what is told stands in kubectl describe', async () => {
  const events = await start();
  events.record(pod, 'MapReplaced', '"flows" is another map by now');
  events.record(pod, 'MapAccessRevoked', 'read of "flows" is not granted any more');
  events.record(pod, 'MapAccessRestored', 'read of "flows" is granted again');
  await events.close(5000);
  assert.deepEqual(failures, []);
  const text = await api.kubectl(['describe', 'pod', '--namespace=prod', pod.podName]);
  assert.match(text, /Normal\s+MapReplaced\s+\S+\s+csi\.bpffs\.dev\s+"flows" is another map by now/);
  assert.match(text, /Warning\s+MapAccessRevoked\s.*read of "flows" is not granted any more/);
  assert.match(text, /Normal\s+MapAccessRestored\s.*read of "flows" is granted again/);
});

test('the same within some minutes is counted, and later it is told anew', async () => {
  const events = await start({ sameWithinMs: 1500 });
  const record = async () => {
    events.record(pod, 'MapReplaced', 'same');
    await events.close(5000);
  };
  for (let n = 0; n < 3; n += 1) await record();
  events.record(pod, 'MapReplaced', 'other');
  await events.close(5000);
  assert.deepEqual((await seen()).map(({ note, series }) => [note, series?.count]).sort(), [
    ['other', undefined],
    ['same', 3],
  ]);
  await new Promise((resolve) => setTimeout(resolve, 1600));
  await record();
  assert.equal((await seen()).length, 3);
  assert.deepEqual(failures, []);
});

test('a burst is one event', async () => {
  const events = await start();
  for (let n = 0; n < 1000; n += 1) events.record(pod, 'MapReplaced', 'same');
  await events.close(5000);
  const [event, ...rest] = await seen();
  assert.deepEqual(rest, []);
  assert.equal(event?.series?.count, 1000);
});

test('an event that is gone is made anew', async () => {
  const events = await start();
  events.record(pod, 'MapReplaced', 'same');
  await events.close(5000);
  await api.kubectl(['delete', 'events', '--namespace=prod', '--all']);
  events.record(pod, 'MapReplaced', 'same');
  await events.close(5000);
  assert.equal((await seen())[0]?.series?.count, 2);
  assert.deepEqual(failures, []);
});

test('a long note is cut, wherever that is', async () => {
  const events = await start();
  for (const first of ['', 'a', 'ab', 'abc']) events.record(pod, 'MapReplaced', first + '🐝'.repeat(300));
  await events.close(5000);
  assert.deepEqual(failures, []);
  const notes = (await seen()).map(({ note }) => note);
  assert.equal(notes.length, 4);
  for (const note of notes) assert(Buffer.byteLength(note) <= 1024 && /🐝… and \d+ more characters$/u.test(note), note);
});

const regarding = (kind: string, name: string, uid: string) => ({ apiVersion: 'v1', kind, name, uid });

test('an event on a Node stands in kubectl describe, though its uid is only a name', async () => {
  await api.apply({ apiVersion: 'v1', kind: 'Node', metadata: { name: 'node-1' } });
  const recorder = startRecorder();
  const events = createNodeEvents(recorder, 'node-1');
  events.record('BpfPinnerDown', 'it has not answered for 30 s');
  events.record('BpfPinnerUp', 'it answers again');
  await recorder.close(5000);
  const text = await api.kubectl(['describe', 'node', 'node-1']);
  assert.match(text, /Warning\s+BpfPinnerDown\s+\S+\s+csi\.bpffs\.dev\s+it has not answered for 30 s/);
  assert.match(text, /Normal\s+BpfPinnerUp\s.*it answers again/);
});

test('a node plugin tells of its pinner, whatever else is wrong with it', async (t) => {
  const nodeId = 'node-2';
  await api.apply({ apiVersion: 'v1', kind: 'Node', metadata: { name: nodeId } });
  const policy = { kind: 'cluster' as const, kubeconfig: api.kubeconfig };
  // There is no CSIDriver, so that it never becomes ready.
  await using harness = await startHarness({ policy, nodeId }, false);
  let aheadMs = 0;
  const now = performance.now.bind(performance);
  t.mock.method(performance, 'now', () => now() + aheadMs);
  /** As the kubelet does. */
  const probe = async () => assert.equal((await fetch(`${harness.http}/readyz`)).status, 503);
  const described = (what: string, pattern: RegExp) =>
    eventually(what, 10, async () => pattern.test(await api.kubectl(['describe', 'node', nodeId])));
  await probe();
  aheadMs = 31_000;
  await probe();
  await described('its outage', /Warning\s+BpfPinnerDown\s.*for 30 s: pinner at .* does not answer: .*ENOENT/);
  const pinner = await startFakePinner(harness.pinnerSocket);
  await probe();
  await described('its return', /Normal\s+BpfPinnerUp\s.*answers again/);
  await pinner.stop();
});

test('a state that two processes tell, again and again, is one event, which is made anew when it is gone', async () => {
  failures.length = 0;
  const state = {
    ...({ type: 'Warning', reason: 'Odd', action: 'Read', isState: true } as const),
    regarding: regarding('Namespace', 'default', 'default-uid'),
  };
  const odd = async () => {
    const { items } = await api.admin.list(EVENTS, { namespace: 'default', fieldSelector: 'reason=Odd' });
    return items as unknown as readonly Seen[];
  };
  const requests: string[] = [];
  let again = 0;
  const counted = {
    create: (...args) => {
      requests.push('create');
      return client.create(...args);
    },
    patch: () => assert.fail('a state is not counted'),
  } satisfies Pick<KubernetesClient, 'create' | 'patch'>;
  const replicas = ['one', 'two'].map((instance) => startRecorder({ client: counted, instance }));
  const tell = async (note: string) => {
    for (const recorder of replicas) recorder.record({ ...state, note });
    await Promise.all(replicas.map((recorder) => recorder.close(5000)));
  };
  for (let n = 0; n < 5; n += 1) await tell('it is odd');
  assert.deepEqual(
    (await odd()).map(({ note, series }) => [note, series]),
    [['it is odd', undefined]],
  );
  assert.equal(requests.length, 2);
  await tell('it is odd otherwise');
  assert.equal((await odd()).length, 2);
  await api.kubectl(['delete', 'events', '--namespace=default', '--field-selector=reason=Odd']);
  // Recorded all the time, and yet made anew once `sameWithinMs` has passed.
  const forgetful = startRecorder({ sameWithinMs: 2000 });
  await eventually('it is there again, twice', 20, async () => {
    forgetful.record({ ...state, note: 'it is odd' });
    await forgetful.close(5000);
    if ((await odd()).length === 0) return false;
    await api.kubectl(['delete', 'events', '--namespace=default', '--field-selector=reason=Odd']);
    again += 1;
    return again === 2;
  });
  assert.deepEqual(failures, []);
});

test('of many failures for the same reason the first is new', async () => {
  const nobody = await api.clientFor('nobody', []);
  const news: boolean[] = [];
  const forbidden = startRecorder({ client: nobody, failed: (_, isNew) => news.push(isNew) });
  const tell = async (recorder: EventRecorder) => {
    for (const note of ['a', 'b', 'c']) {
      recorder.record({
        regarding: regarding('Namespace', 'prod', 'x'),
        type: 'Normal',
        reason: 'R',
        action: 'A',
        note,
      });
    }
    await recorder.close(5000);
  };
  await tell(forbidden);
  await tell(forbidden);
  assert.deepEqual(news, [true, false, false, false, false, false]);
  news.length = 0;
  let able = false;
  const create: KubernetesClient['create'] = (...args) => (able ? client : nobody).create(...args);
  const recorder = startRecorder({ client: { create, patch: client.patch }, failed: (_, isNew) => news.push(isNew) });
  await tell(recorder);
  able = true;
  await tell(recorder);
  able = false;
  recorder.record({
    regarding: regarding('Namespace', 'prod', 'x'),
    type: 'Normal',
    reason: 'R',
    action: 'A',
    note: 'd',
  });
  await recorder.close(5000);
  assert.deepEqual(news, [true, false, false, true]);
});

test('what cannot be told is lost, and no more than so many wait', async () => {
  const nobody = await api.clientFor('nobody', []);
  const events = await start({ client: nobody, maxEvents: 10 });
  for (let n = 0; n < 100; n += 1) events.record(pod, 'MapReplaced', `${n}`);
  await events.close(5000);
  assert(failures.length >= 10 && failures.length <= 11, `${failures.length}`);
  assert.match(
    failures[0] ?? '',
    /^the driver may not create events\.events\.k8s\.io in namespace prod: its ClusterRole lacks/,
  );
  const away = await start();
  await api.kill();
  away.record(pod, 'MapReplaced', 'unheard');
  await away.close(5000);
  assert.match(failures.join(), /does not answer/);
  await api.start();
  away.record(pod, 'MapReplaced', 'unheard');
  await away.close(5000);
  assert.equal((await seen()).length, 1);
});
