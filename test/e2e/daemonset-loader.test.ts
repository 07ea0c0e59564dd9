import assert from 'node:assert/strict';
import { before, suite, test } from 'node:test';
import { eventually } from '../cluster/eventually.ts';
import { MAPS } from './images.ts';
import { account, bpfMap, claimSpec, mapRole, roleBinding, serviceAccount, storageClass } from './objects.ts';
import { inline, pod, ROOT } from './pods.ts';
import { WITHIN_S } from './running.ts';
import { type Space, useSpace } from './space.ts';

/** Where the loaders are, and where the consumers. */
const [net, prod] = [useSpace(), useSpace()];
const CLASS = `${net.name}-workspace`;

const pins = { ephemeral: { volumeClaimTemplate: { spec: claimSpec(CLASS) } } };
const container = { securityContext: { ...ROOT, capabilities: { add: ['BPF'] } } };

/** Pins a map with the entry 1=$VERSION, complete, once somebody has made the directory /pins/go. */
const LOAD =
  'until [ -e /pins/go ]; do sleep 0.1; done; map create /pins/new; map write /pins/new 1 $VERSION; mv /pins/new /pins/flows; exec sleep infinity';

interface WorkloadOptions {
  readonly version?: number;
  /** Adds to the workload's spec, and to its pods'. */
  readonly spec?: object;
  readonly podSpec?: object;
}

/** A loader that pins in its generic ephemeral volume `pins`. */
function loader(kind: string, name: string, { version = 1, spec = {}, podSpec = {} }: WorkloadOptions = {}) {
  const labels = { app: name };
  const main = {
    ...{ name: 'main', image: MAPS, command: ['sh', '-c', LOAD], ...container },
    env: [{ name: 'VERSION', value: `${version}` }],
    volumeMounts: [{ name: 'pins', mountPath: '/pins' }],
    readinessProbe: { exec: { command: ['test', '-e', '/pins/flows'] }, periodSeconds: 1 },
  };
  const template = {
    metadata: { labels },
    spec: {
      serviceAccountName: 'loader',
      terminationGracePeriodSeconds: 0,
      containers: [main],
      volumes: [{ name: 'pins', ...pins }],
      ...podSpec,
    },
  };
  return {
    apiVersion: 'apps/v1',
    kind,
    metadata: { name },
    spec: {
      selector: { matchLabels: labels },
      template,
      ...(kind === 'StatefulSet' && { serviceName: name }),
      ...spec,
    },
  };
}

/** The loader's pod that runs VERSION. */
const loaderPod = (space: Space, app: string, version: number) =>
  eventually(`a pod of ${app} runs version ${version}`, 90, async () => {
    const { items } = JSON.parse(await space.kubectl('get', 'pods', `--selector=app=${app}`, '--output=json'));
    const found = items.find(
      ({ spec, status }: PodObject) =>
        spec.containers[0]?.env?.[0]?.value === `${version}` && status.containerStatuses?.[0]?.state.running,
    );
    return found?.metadata.name as string | undefined;
  });

interface PodObject {
  readonly spec: { readonly containers: readonly { readonly env?: readonly { readonly value: string }[] }[] };
  readonly status: { readonly containerStatuses?: readonly { readonly state: { readonly running?: object } }[] };
}

/** Has the loader's pod of this version pin its map, and waits until it has. */
async function load(app: string, version: number, space = net): Promise<string> {
  const name = await loaderPod(space, app, version);
  await space.exec(name, 'mkdir', '/pins/go');
  await space.ready(name);
  return name;
}

const consumer = (name: string, map: string) =>
  pod(name, {
    serviceAccount: 'app',
    volume: inline({ maps: map }),
    mount: { mountPropagation: 'HostToContainer' },
  });

const untilRead = (name: string, entries: string) =>
  eventually(`${name} reads ${entries}`, WITHIN_S, async () => (await prod.read(name, '/maps/flows')) === entries);

/** Starts a consumer, which reads these entries as soon as it runs. */
async function reads(name: string, map: string, entries: string): Promise<void> {
  await prod.start(consumer(name, map));
  assert.equal(await prod.read(name, '/maps/flows'), entries);
  await prod.stop(name);
}

/** A BpfMap of what `owner` pins; returns its name. */
async function mapOf(owner: Readonly<Record<string, string>>): Promise<string> {
  const name = `${net.name}-${Object.entries(owner).flat().join('-').toLowerCase()}`;
  const workspace = { namespace: net.name, volume: 'pins', path: 'flows', ...owner };
  await net.apply(bpfMap(name, { source: { workspace }, fileName: 'flows' }));
  return name;
}

const volumes = async (): Promise<readonly VolumeObject[]> =>
  JSON.parse(await net.kubectl('get', 'bpfvolumes', '--output=json')).items.filter(
    ({ spec }: VolumeObject) => spec.claimRef?.namespace === net.name,
  );

interface VolumeObject {
  readonly spec: {
    readonly claimRef?: { readonly namespace: string; readonly name: string };
    readonly owner?: { readonly pod: string; readonly workload?: object };
    readonly ownerProblem?: string;
  };
}

before(async () => {
  await net.apply(storageClass(CLASS, { type: 'workspace' }), serviceAccount('loader'));
  await prod.apply(
    ...[serviceAccount('app'), serviceAccount('loader'), mapRole(`${prod.name}-reader`, { read: 'all' })],
    roleBinding('reader', `${prod.name}-reader`, account(prod.name, 'app')),
  );
});

suite('a DaemonSet that pins maps in a workspace', () => {
  let flows: string;

  test('gives its maps to pods of other namespaces, which wait for it', async () => {
    flows = await mapOf({ daemonSet: 'loader' });
    await prod.apply(consumer('follower', flows));
    await prod.described(
      'pod/follower',
      /FailedMount.*there is no workspace on node node-1 that is volume "pins" of DaemonSet e2e-\w+\/loader; start a pod/,
    );
    await net.apply(
      loader('DaemonSet', 'loader', {
        spec: { updateStrategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } } },
      }),
    );
    const name = await load('loader', 1);
    await prod.ready('follower');
    assert.equal(await prod.read('follower', '/maps/flows'), '1=1');
    const uid = await net.kubectl('get', 'daemonset/loader', '--output=jsonpath={.metadata.uid}');
    const owners = (await volumes()).map(({ spec }) => spec.owner);
    const workload = { kind: 'DaemonSet', name: 'loader', uid };
    assert.deepEqual(owners, [{ pod: name, volume: 'pins', serviceAccount: 'loader', workload }]);
    assert.match(await net.kubectl('get', 'bpfvolumes', '--output=wide'), / loader /);
    await reads('by-account', await mapOf({ serviceAccount: 'loader' }), '1=1');
  });

  test('while it is rolled out they keep the old map, and get the new one when it is pinned', async () => {
    await net.kubectl('set', 'env', 'daemonset/loader', 'VERSION=2');
    const young = await loaderPod(net, 'loader', 2);
    // Both pods run, and it is the young one that counts.
    await prod.apply(consumer('late', flows));
    await prod.described(
      'pod/late',
      /FailedMount.*nothing is pinned at "flows" in the workspace of claim e2e-\w+\/loader-\w+-pins \(volume "pvc-/,
    );
    assert.equal((await net.kubectl('get', 'pods', '--selector=app=loader', '--output=name')).split('\n').length, 2);
    assert.equal(await prod.read('follower', '/maps/flows'), '1=1');
    await load('loader', 2);
    await untilRead('follower', '1=2');
    await prod.described('pod/follower', /Normal\s+MapReplaced .* "flows" became another map at its source/);
    await prod.ready('late');
    assert.equal(await prod.read('late', '/maps/flows'), '1=2');
    await net.kubectl('rollout', 'status', 'daemonset/loader', '--timeout=60s');
    assert.deepEqual((await volumes()).map(({ spec }) => spec.owner?.pod).includes(young), true);
  });

  test('whose pod goes before the next one comes leaves them the old map until then', async () => {
    const patch = { spec: { updateStrategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: 1 } } } };
    await net.kubectl('patch', 'daemonset/loader', `--patch=${JSON.stringify(patch)}`);
    await net.kubectl('set', 'env', 'daemonset/loader', 'VERSION=3');
    const young = await loaderPod(net, 'loader', 3);
    await eventually('the volumes of the others are gone', 60, async () => {
      const pods = (await volumes()).map(({ spec }) => spec.owner?.pod);
      return pods.length === 1 && pods[0] === young;
    });
    assert.equal(await prod.read('follower', '/maps/flows'), '1=2');
    await load('loader', 3);
    await untilRead('follower', '1=3');
  });

  test('is not its namesake in another namespace', async () => {
    await prod.apply(loader('DaemonSet', 'loader', { version: 666 }));
    await load('loader', 666, prod);
    await reads('unmoved', flows, '1=3');
    assert.equal(await prod.read('follower', '/maps/flows'), '1=3');
    await prod.kubectl('delete', 'daemonset/loader', '--cascade=foreground', '--timeout=60s');
  });

  test('is not a pod that poses as its own', async () => {
    // A DaemonSet without pods, so that only the poser has a workspace that could be taken.
    await net.apply(loader('DaemonSet', 'idle', { podSpec: { nodeSelector: { 'no-node': 'has-it' } } }));
    const uid = await net.kubectl('get', 'daemonset/idle', '--output=jsonpath={.metadata.uid}');
    const { metadata, ...poser } = pod('poser', {
      container: { ...container, volumeMounts: [{ name: 'pins', mountPath: '/pins' }] },
      spec: { volumes: [{ name: 'pins', ...pins }] },
    });
    const reference = { apiVersion: 'apps/v1', kind: 'DaemonSet', name: 'idle', uid, controller: true };
    await net.apply({ ...poser, metadata: { ...metadata, ownerReferences: [reference] } });
    await net.ready('poser');
    await net.exec('poser', 'map', 'create', '/pins/flows');
    await prod.apply(consumer('wary', await mapOf({ daemonSet: 'idle' })));
    // The DaemonSet's controller takes its name off such a pod, before or after the volume is created.
    await prod.described(
      'pod/wary',
      /there is no workspace on node node-1 that is volume "pins" of DaemonSet e2e-\w+\/idle; .*what is there: .*pod e2e-\w+\/poser (names DaemonSet idle as its owner, whose selector does not select it|belongs to no workload)/,
    );
    await prod.stop('wary');
    await net.kubectl('delete', 'daemonset/idle', '--cascade=foreground', '--timeout=60s');
    await net.kubectl('delete', 'pod/poser', '--ignore-not-found');
  });
});

suite('other workloads that pin maps in a workspace', () => {
  for (const [field, kind] of [
    ['deployment', 'Deployment'],
    ['statefulSet', 'StatefulSet'],
  ] as const) {
    test(`a ${kind}`, async () => {
      await net.apply(loader(kind, field.toLowerCase(), { version: 7 }));
      await load(field.toLowerCase(), 7);
      await reads(`of-${field.toLowerCase()}`, await mapOf({ [field]: field.toLowerCase() }), '1=7');
    });
  }
});
