import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { findOwner } from '../../src/controller/find-owner.ts';
import { CallError, Code } from '../../src/errors.ts';
import type { KubernetesClient } from '../../src/kubernetes/client.ts';
import type { KubernetesObject } from '../../src/kubernetes/resource.ts';
import { type ApiServer, startApiServer } from './api-server.ts';
import { controlledBy, workloads } from './workloads.ts';

const RULES = [
  { apiGroups: [''], resources: ['pods', 'persistentvolumeclaims'], verbs: ['get'] },
  { apiGroups: ['apps'], resources: ['daemonsets', 'statefulsets', 'deployments', 'replicasets'], verbs: ['get'] },
];

let api: ApiServer;
let client: KubernetesClient;
let net: ReturnType<typeof workloads>;
/** The DaemonSet agent in the namespace net. */
let daemonSet: KubernetesObject;

before(async () => {
  // There is no controller manager, which would have to remove the finalizers that this plugin adds.
  api = await startApiServer(['--disable-admission-plugins=ServiceAccount,StorageObjectInUseProtection']);
  client = await api.clientFor('controller', RULES);
  for (const name of ['net', 'prod']) await api.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  net = workloads(api, 'net');
  daemonSet = await net.workload('DaemonSet', 'agent');
});
after(() => api?.stop());

/** As external-provisioner would ask, for a claim of this name. */
const find = (claim: KubernetesObject, by = client) => {
  const { namespace = '', name, uid } = claim.metadata;
  return findOwner(by, { namespace, name }, `pvc-${uid}`);
};
const ofPod = (pod: KubernetesObject) => controlledBy('Pod', pod, 'v1');
/** Makes the ephemeral claim of the pod, as its controller would, and looks for its owner. */
const ownerOf = async (pod: KubernetesObject, namespace = net) =>
  await find(await namespace.claim(`${pod.metadata.name}-pins`, ofPod(pod)));
const owner = (pod: string) => ({ pod, volume: 'pins', serviceAccount: 'loader' });
const remove = (kind: string, name: string) =>
  api.kubectl(['delete', kind, name, '--namespace=net', '--grace-period=0', '--force', '--cascade=background']);

suite('the owner of a claim’s volume is the pod, and what made it', () => {
  test('a DaemonSet', async () => {
    const { uid } = daemonSet.metadata;
    assert.deepEqual(await ownerOf(await net.pod('agent-ds', { of: controlledBy('DaemonSet', daemonSet) })), {
      owner: { ...owner('agent-ds'), workload: { kind: 'DaemonSet', name: 'agent', uid } },
    });
  });

  test('a StatefulSet', async () => {
    const statefulSet = await net.statefulSet('agent');
    const { uid } = statefulSet.metadata;
    assert.deepEqual(await ownerOf(await net.pod('agent-0', { of: controlledBy('StatefulSet', statefulSet) })), {
      owner: { ...owner('agent-0'), workload: { kind: 'StatefulSet', name: 'agent', uid } },
    });
  });

  test('a Deployment, through its ReplicaSet', async () => {
    const deployment = await net.workload('Deployment', 'agent');
    const replicaSet = await net.replicaSet('agent-5d', controlledBy('Deployment', deployment));
    const { uid } = deployment.metadata;
    assert.deepEqual(await ownerOf(await net.pod('agent-5d-x', { of: controlledBy('ReplicaSet', replicaSet) })), {
      owner: { ...owner('agent-5d-x'), workload: { kind: 'Deployment', name: 'agent', uid } },
    });
  });
});

suite('a pod whose workload is not known still has its service account', () => {
  test('nothing made it', async () => {
    assert.deepEqual(await ownerOf(await net.pod('bare')), {
      owner: owner('bare'),
      ownerProblem: 'pod net/bare belongs to no workload',
    });
  });

  test('a ReplicaSet of no Deployment made it', async () => {
    const replicaSet = await net.replicaSet('alone');
    assert.deepEqual(await ownerOf(await net.pod('alone-x', { of: controlledBy('ReplicaSet', replicaSet) })), {
      owner: owner('alone-x'),
      ownerProblem: 'ReplicaSet net/alone of pod net/alone-x belongs to no workload',
    });
  });

  test('a Job made it', async () => {
    const job = await net.job('once');
    assert.deepEqual(await ownerOf(await net.pod('once-x', { of: controlledBy('Job', job, 'batch/v1') })), {
      owner: owner('once-x'),
      ownerProblem: 'pod net/once-x belongs to Job once, and not to a DaemonSet, Deployment or StatefulSet',
    });
  });

  test('another API has a DaemonSet, too', async () => {
    assert.deepEqual(
      await ownerOf(await net.pod('kruise', { of: controlledBy('DaemonSet', daemonSet, 'apps.kruise.io/v1alpha1') })),
      {
        owner: owner('kruise'),
        ownerProblem: 'pod net/kruise belongs to DaemonSet agent, and not to a DaemonSet, Deployment or StatefulSet',
      },
    );
  });
});

suite('a pod that poses as one of the DaemonSet is not taken for one', () => {
  test('the DaemonSet does not select it', async () => {
    const pod = await net.pod('poser', { labels: { app: 'other' }, of: controlledBy('DaemonSet', daemonSet) });
    assert.deepEqual(await ownerOf(pod), {
      owner: owner('poser'),
      ownerProblem: 'pod net/poser names DaemonSet agent as its owner, whose selector does not select it',
    });
  });

  test('it is in another namespace, in which there is none, or another one', async () => {
    const prod = workloads(api, 'prod');
    const pod = await prod.pod('agent-ds', { of: controlledBy('DaemonSet', daemonSet) });
    const disowned =
      'pod prod/agent-ds names DaemonSet agent as its owner, which does not exist, or is another object by now';
    const claim = await prod.claim('agent-ds-pins', ofPod(pod));
    assert.deepEqual(await find(claim), { owner: owner('agent-ds'), ownerProblem: disowned });
    await prod.workload('DaemonSet', 'agent');
    assert.deepEqual(await find(claim), { owner: owner('agent-ds'), ownerProblem: disowned });
  });

  test('a reference that is not the controller’s does not count', async () => {
    const { name, uid } = daemonSet.metadata;
    const of = { ownerReferences: [{ apiVersion: 'apps/v1', kind: 'DaemonSet', name, uid }] };
    assert.deepEqual(await ownerOf(await net.pod('beside', { of })), {
      owner: owner('beside'),
      ownerProblem: 'pod net/beside belongs to no workload',
    });
  });

  test('its ReplicaSet has been replaced by a namesake', async () => {
    const deployment = await net.workload('Deployment', 'renewed');
    const former = await net.replicaSet('renewed-5d', controlledBy('Deployment', deployment));
    const pod = await net.pod('renewed-5d-x', { of: controlledBy('ReplicaSet', former) });
    await remove('replicaset', 'renewed-5d');
    await net.replicaSet('renewed-5d', controlledBy('Deployment', deployment));
    assert.deepEqual(await ownerOf(pod), {
      owner: owner('renewed-5d-x'),
      ownerProblem:
        'pod net/renewed-5d-x names ReplicaSet renewed-5d as its owner, which does not exist, or is another object by now',
    });
  });

  test('its Deployment has been replaced by a namesake', async () => {
    const former = await net.workload('Deployment', 'again');
    const replicaSet = await net.replicaSet('again-5d', controlledBy('Deployment', former));
    const pod = await net.pod('again-5d-x', { of: controlledBy('ReplicaSet', replicaSet) });
    await remove('deployment', 'again');
    await net.workload('Deployment', 'again');
    assert.deepEqual(await ownerOf(pod), {
      owner: owner('again-5d-x'),
      ownerProblem:
        'ReplicaSet net/again-5d of pod net/again-5d-x names Deployment again as its owner, which does not exist, or is another object by now',
    });
  });
});

suite('a claim that no pod can be proven to own has no owner', () => {
  test('it was made by hand', async () => {
    assert.deepEqual(await find(await net.claim('by-hand')), {});
    assert.deepEqual(await find(await net.claim('of-a-set', controlledBy('DaemonSet', daemonSet))), {});
  });

  test('its pod is gone, or is another one by now', async () => {
    const pod = await net.pod('short');
    const claim = await net.claim('short-pins', ofPod(pod));
    await remove('pod', 'short');
    const gone = { ownerProblem: 'claim net/short-pins names pod short as its owner, which does not exist any more' };
    assert.deepEqual(await find(claim), gone);
    await net.pod('short', { of: controlledBy('DaemonSet', daemonSet) });
    assert.deepEqual(await find(claim), gone);
  });

  test('its name is not that of an ephemeral volume of the pod', async () => {
    const pod = await net.pod('agent-v', { of: controlledBy('DaemonSet', daemonSet) });
    for (const name of ['agent-v-other', 'agent-v-absent', 'pins']) {
      assert.deepEqual(await find(await net.claim(name, ofPod(pod))), {
        ownerProblem: `claim net/${name} names pod agent-v as its owner, which has no ephemeral volume of this claim`,
      });
    }
  });

  test('it has been replaced, or is gone, since the volume was asked for', async () => {
    const pod = await net.pod('late', { of: controlledBy('DaemonSet', daemonSet) });
    const claim = await net.claim('late-pins', ofPod(pod));
    await remove('persistentvolumeclaim', 'late-pins');
    const gone = { ownerProblem: 'claim net/late-pins was deleted while its volume was created' };
    assert.deepEqual(await find(claim), gone);
    await net.claim('late-pins', ofPod(pod));
    assert.deepEqual(await find(claim), gone);
  });

  test('the driver may not read what it takes', async () => {
    const pod = await net.pod('secret', { of: controlledBy('DaemonSet', daemonSet) });
    const claim = await net.claim('secret-pins', ofPod(pod));
    const blind = await api.clientFor('blind', [{ ...RULES[0], resources: ['persistentvolumeclaims'] }]);
    const { owner, ownerProblem } = await find(claim, blind);
    assert.equal(owner, undefined);
    assert.match(
      `${ownerProblem}`,
      /^the owner of claim net\/secret-pins cannot be read: the driver may not get pods in namespace net: its ClusterRole lacks \{apiGroups: \[""\], resources: \["pods"\], verbs: \["get"\]\}/,
    );
  });
});

test('while the API server does not answer, nothing is said', async () => {
  const pod = await net.pod('away', { of: controlledBy('DaemonSet', daemonSet) });
  const claim = await net.claim('away-pins', ofPod(pod));
  const late: KubernetesClient = {
    ...client,
    async get(resource, key) {
      if (resource.plural === 'pods') await api.freeze(true);
      return await client.get(resource, key, { timeoutMs: 500 });
    },
  };
  try {
    await assert.rejects(
      find(claim, late),
      (error) => error instanceof CallError && error.code === Code.UNAVAILABLE && /get pods/.test(error.message),
    );
  } finally {
    await api.freeze(false);
  }
});
