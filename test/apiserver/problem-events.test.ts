import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { parse, stringify } from 'yaml';
import { openClusterStore } from '../../src/controller/cluster-store.ts';
import { createControllerMetrics } from '../../src/controller/metrics.ts';
import type { OpenStore } from '../../src/controller/open-store.ts';
import type { KubernetesObject } from '../../src/kubernetes/resource.ts';
import { createLogger } from '../../src/logger.ts';
import { eventually } from '../cluster/eventually.ts';
import { type ApiServer, startApiServer } from './api-server.ts';

const EVENTS = { group: 'events.k8s.io', version: 'v1', plural: 'events' };
const CLAIMS = { group: '', version: 'v1', plural: 'persistentvolumeclaims' };
const BPF_VOLUMES = { group: 'bpffs.dev', version: 'v1alpha1', plural: 'bpfvolumes' };

/** Without `events`: as an old ClusterRole has it. */
const RULES = [
  { apiGroups: ['bpffs.dev'], resources: ['bpfmaps', 'bpfvolumes'], verbs: ['list', 'watch'] },
  { apiGroups: [''], resources: ['persistentvolumes'], verbs: ['list', 'watch'] },
];

let api: ApiServer;
const stores: OpenStore[] = [];
const log: string[] = [];

before(async () => {
  api = await startApiServer();
  for (const crd of ['bpfmaps', 'bpfvolumes']) await applyLaxly(crd);
  await api.kubectl(['wait', '--for=condition=Established', 'crd', '--all']);
  await api.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'prod' } });
});
after(async () => {
  for (const store of stores) await store.close();
  await api?.stop();
});

/** A CustomResourceDefinition that accepts everything: as objects may be that are older than the rule that they break. */
async function applyLaxly(crd: string): Promise<void> {
  const file = new URL(`../../deploy/chart/crds/bpffs.dev_${crd}.yaml`, import.meta.url);
  const definition = parse(await readFile(file, 'utf8'));
  const spec = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  definition.spec.versions[0].schema.openAPIV3Schema = { type: 'object', properties: { spec } };
  definition.spec.versions[0].selectableFields = [];
  await api.kubectl(['apply', '--filename=-'], stringify(definition));
}

/** A replica of the controller, as a service account with these rights. */
async function startReplica(name: string, rules: readonly object[]): Promise<OpenStore> {
  await api.clientFor(name, rules);
  const kubeconfig = join(api.directory, `${name}.kubeconfig`);
  const config = JSON.parse(await readFile(api.kubeconfig, 'utf8'));
  config.users[0].user = { token: await api.kubectl(['create', 'token', name, '--namespace=kube-system']) };
  await writeFile(kubeconfig, JSON.stringify(config));
  const lines = createLogger('info', { write: (line) => log.push(line) });
  const store = openClusterStore(
    { kind: 'cluster', kubeconfig },
    { driverName: 'csi.bpffs.dev' },
    lines,
    createControllerMetrics(),
  );
  stores.push(store);
  await store.synced();
  return store;
}

const bpf = (kind: 'BpfMap' | 'BpfVolume', name: string, spec: object) =>
  api.apply({ apiVersion: 'bpffs.dev/v1alpha1', kind, metadata: { name }, spec });

/** Of a BpfVolume, as external-provisioner makes it for a claim, and as the controller manager binds it. */
async function bind(volume: KubernetesObject, claim: KubernetesObject): Promise<void> {
  const { name, uid } = volume.metadata;
  await api.apply({
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name },
    spec: {
      capacity: { storage: '1Mi' },
      accessModes: ['ReadWriteOnce'],
      csi: { driver: 'csi.bpffs.dev', volumeHandle: `${name}-${uid.slice(0, 8)}` },
      claimRef: { namespace: claim.metadata.namespace, name: claim.metadata.name, uid: claim.metadata.uid },
    },
  });
  const bound = ['--subresource=status', '--type=merge', '--patch={"status":{"phase":"Bound"}}'];
  await api.kubectl(['patch', 'persistentvolume', name, ...bound]);
}

/** Waits for the events of a kind of objects, each as "type reason namespace/name". */
const untilTold = (kind: string, ...expected: readonly string[]) =>
  eventually(`${expected} is told`, 20, async () => {
    const { items } = await api.admin.list(EVENTS, { fieldSelector: `regarding.kind=${kind}` });
    const told = items.map(({ metadata, type, reason, regarding }) => {
      const { name } = regarding as { readonly name: string };
      return `${type} ${reason} ${metadata.namespace}/${name}`;
    });
    assert.deepEqual(told.sort(), expected.toSorted());
    return true;
  });

test('without the right to make events: one line in the log, and the volumes are listed as before', async () => {
  await bpf('BpfMap', 'odd', { source: { pinned: { path: 'flows' } } });
  await bpf('BpfMap', 'odder', { source: { future: {} } });
  const store = await startReplica('forbidden', RULES);
  await eventually('it is logged', 10, async () => log.length > 0);
  await bpf('BpfMap', 'oddest', {});
  await bpf('BpfMap', 'fine', { source: { pinned: { path: '/sys/fs/bpf/flows' } } });
  assert.deepEqual(await store.list(), { volumes: [], damaged: [] });
  await store.close();
  assert.equal(log.length, 1, log.join('\n'));
  const { message, error } = JSON.parse(log[0] ?? '');
  assert.equal(message, 'events cannot be told');
  assert.match(error, /^the driver may not create events\.events\.k8s\.io in namespace default: its ClusterRole lacks/);
  await untilTold('BpfMap');
});

test('two replicas tell each BpfMap that cannot be used, once', async () => {
  const events = { apiGroups: ['events.k8s.io'], resources: ['events'], verbs: ['create'] };
  await Promise.all(['one', 'two'].map((name) => startReplica(name, [...RULES, events])));
  const told = (name: string) => `Warning InvalidBpfMap default/${name}`;
  await untilTold('BpfMap', told('odd'), told('odder'), told('oddest'));
  await bpf('BpfMap', 'late', { source: { pinned: { path: '/sys/fs/bpf/a/../b' } } });
  await untilTold('BpfMap', told('late'), told('odd'), told('odder'), told('oddest'));
  const text = await api.kubectl(['describe', 'bpfmap', 'odd']);
  assert.match(
    text,
    /Warning\s+InvalidBpfMap\s+\S+\s+csi\.bpffs\.dev\s+BpfMap "odd" cannot be used: spec\.source\.pinned\.path: must be/,
  );
});

test('a damaged volume is told on the claim that it is bound to', async () => {
  await api.apply({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { namespace: 'prod', name: 'agent' },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Mi' } } },
  });
  await bpf('BpfVolume', 'pvc-1', { claimRef: 'what is this?' });
  await untilTold('BpfVolume', 'Warning VolumeDamaged default/pvc-1');
  await bind(
    await api.admin.get(BPF_VOLUMES, { name: 'pvc-1' }),
    await api.admin.get(CLAIMS, { namespace: 'prod', name: 'agent' }),
  );
  await untilTold('PersistentVolumeClaim', 'Warning VolumeDamaged prod/agent');
  const text = await api.kubectl(['describe', 'pvc', '--namespace=prod', 'agent']);
  assert.match(text, /Warning\s+VolumeDamaged\s+\S+\s+csi\.bpffs\.dev\s+BpfVolume pvc-1 cannot be used: spec\./);
});

test('a damaged volume that no claim is bound to is told on itself', async () => {
  await bpf('BpfVolume', 'pvc-2', {
    volumeName: 'pvc-2',
    type: 'future',
    claimRef: { namespace: 'prod', name: 'agent' },
  });
  await untilTold('BpfVolume', 'Warning VolumeDamaged default/pvc-1', 'Warning VolumeDamaged default/pvc-2');
  const text = await api.kubectl(['describe', 'bpfvolume', 'pvc-2']);
  assert.match(text, /Warning\s+VolumeDamaged\s+\S+\s+csi\.bpffs\.dev\s+BpfVolume pvc-2 cannot be used: spec\./);
  await untilTold('PersistentVolumeClaim', 'Warning VolumeDamaged prod/agent');
});

test('the commands of troubleshooting.md and runbooks.md find them', async () => {
  const get = (...args: readonly string[]) => api.kubectl(['get', 'events', ...args]);
  const all = await get('-A', '--field-selector', 'reportingComponent=csi.bpffs.dev');
  for (const reason of ['InvalidBpfMap', 'VolumeDamaged']) assert.match(all, new RegExp(reason));
  assert.match(await get('-A', '--field-selector', 'reason=VolumeDamaged'), /^prod .*persistentvolumeclaim\/agent/m);
  assert.match(await get('--namespace', 'default', '--field-selector', 'reason=InvalidBpfMap'), /bpfmap\/odd /);
});

test('nothing was refused', () => {
  assert.equal(log.length, 1, log.join('\n'));
});
