import assert from 'node:assert/strict';
import { json } from 'node:stream/consumers';
import { after, before, suite, test } from 'node:test';
import { authorize, denial, isDenied } from '../../src/access/authorize.ts';
import { createClusterAccess } from '../../src/access/cluster-access.ts';
import { loadKubeconfig } from '../../src/kubernetes/kubeconfig.ts';
import { createTransport, type Transport, type TransportRequest } from '../../src/kubernetes/transport.ts';
import type { BpfMap } from '../../src/maps/catalog.ts';
import { parseMapList } from '../../src/request/map-list.ts';
import { type ApiServer, startApiServer } from '../apiserver/api-server.ts';
import { eventually } from '../cluster/eventually.ts';
import { applyObjects } from './apply-objects.ts';
import { NAMESPACE as DRIVER_NAMESPACE, parseManifest, render } from './helm.ts';

/**
 * In this namespace, the account `reader` may read flows and limits and write limits, `writer` may write both, `loader`
 * may use the delegations xdp and profiler and write maps, `anything` may do what it likes, and others nothing. Containers may trace with
 * profiler.
 */
const NAMESPACE = 'prod';
const CONTROLLER = 'csi-driver-bpffs-controller';
const PRIVILEGED = { securityContext: { privileged: true } };

let api: ApiServer;
let transport: Transport;

before(async () => {
  api = await startApiServer(['--allow-privileged=true']);
  transport = createTransport(loadKubeconfig(api.kubeconfig));
  await applyObjects(api, [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } }]);
  const objects = parseManifest(await render({ admission: { tracingDelegations: ['profiler'] } }));
  const policies = objects.filter(({ kind }) => kind.startsWith('ValidatingAdmissionPolicy'));
  const rights = objects.filter(({ kind, metadata }) => kind.startsWith('ClusterRole') && metadata.name === CONTROLLER);
  await applyObjects(api, [...policies, ...rights, ...GRANTS]);
  await eventually('the policies are in force', 30, async () => {
    const { refusal } = await admit(pod({ attributes: {} }));
    const { warnings } = await admit(pod({ container: PRIVILEGED }));
    const { refusal: ungranted } = await admit(pod({ serviceAccount: 'nobody' }));
    const { refusal: tracing } = await admit(loader({ container: PRIVILEGED }));
    return [refusal, ungranted, tracing].every((one) => one !== undefined) && warnings.length > 0;
  });
});
after(async () => {
  transport?.close();
  await api?.stop();
});

suite('attributes', () => {
  const refused = (what: string, change: PodOptions, says: RegExp) =>
    test(`${what}: refused`, async () => {
      const { refusal } = await admit(pod(change));
      assert.match(refusal ?? 'taken', says);
    });
  const taken = (what: string, change: PodOptions) =>
    test(`${what}: taken`, async () => assert.equal((await admit(pod(change))).refusal, undefined));

  taken('the example of the README', { attributes: { maps: 'flows, limits:rw' } });
  taken('readOnly without :rw', { readOnly: true });
  taken('fsType bpf', { fsType: 'bpf' });
  taken('a user namespace, told', { hostUsers: false, attributes: { maps: 'flows', hostUsers: 'false' } });
  taken('the host users, told', { hostUsers: true, attributes: { maps: 'flows', hostUsers: 'true' } });
  taken('another driver', { driver: 'csi.example.com', attributes: { any: 'thing' } });

  refused('no attributes', { attributes: {} }, /volume v0: volumeAttributes\.maps: names no map/);
  refused(
    'an unknown attribute',
    { attributes: { maps: 'flows', map: 'x' } },
    /v0: volumeAttributes\.map: unknown attr/,
  );
  refused(
    'what the kubelet says itself',
    { attributes: { maps: 'flows', 'csi.storage.k8s.io/pod.name': 'x' } },
    /unknown/,
  );
  refused('a type', { attributes: { maps: 'flows', type: 'workspace' } }, /v0: .*takes a PersistentVolumeClaim/);
  refused('new maps', { attributes: { newMaps: '[]' } }, /v0: .*takes a PersistentVolumeClaim/);
  refused(
    'readOnly with :rw',
    { readOnly: true, attributes: { maps: 'flows,limits:rw' } },
    /v0: readOnly: .*"limits:rw"/,
  );
  refused('another file system', { fsType: 'ext4' }, /v0: fsType: leave it out/);
  refused('a user namespace, not told', { hostUsers: false }, /v0: volumeAttributes\.hostUsers .* write "false"/);
  refused('a user namespace that is none', { attributes: { maps: 'flows', hostUsers: 'false' } }, /write "true"/);
  refused('hostUsers: maybe', { attributes: { maps: 'flows', hostUsers: 'maybe' } }, /write "true"/);
  refused('a second volume', { more: [{ maps: 'flows,' }] }, /volume v1: .*an item is empty/);
});

suite('the controller', () => {
  const volume = (name: string, source: object) => ({
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name },
    spec: { capacity: { storage: '1Mi' }, accessModes: ['ReadWriteOnce'], ...source },
  });
  const ours = { csi: { driver: 'csi.bpffs.dev', volumeHandle: 'a' } };
  const others = {
    'another driver': { csi: { driver: 'csi.example.com', volumeHandle: 'a' } },
    'the node': { hostPath: { path: '/' } },
  };
  const attempt = (verb: readonly string[], object: object) =>
    api.kubectl(
      [...verb, '--filename=-', '--dry-run=server', `--as=system:serviceaccount:${DRIVER_NAMESPACE}:${CONTROLLER}`],
      JSON.stringify(object),
    );
  const refused = { stderr: /this account is for PersistentVolumes of csi\.bpffs\.dev/ };
  const patch = (field: string) => ['patch', '--type=merge', `--patch={"spec":${field}}`];

  test('makes, changes and deletes volumes of this driver', async () => {
    await applyObjects(api, [volume('ours', ours)]);
    await attempt(['create'], volume('new', ours));
    await attempt(patch('{"persistentVolumeReclaimPolicy":"Delete"}'), volume('ours', ours));
    await attempt(['delete'], volume('ours', ours));
  });

  for (const [index, [what, source]] of Object.entries(others).entries()) {
    test(`none of ${what}`, async () => {
      const theirs = volume(`theirs-${index}`, source);
      await applyObjects(api, [theirs]);
      await assert.rejects(attempt(['create'], volume('new', source)), refused);
      await assert.rejects(attempt(patch('{"persistentVolumeReclaimPolicy":"Delete"}'), theirs), refused);
      await assert.rejects(attempt(['delete'], theirs), refused);
    });
  }
});

test('of every text in maps, admission and the driver think the same', async () => {
  const texts = [
    ...[
      'flows',
      ' flows ',
      'flows,limits',
      'flows ,\n limits:rw',
      'a.b-c.d',
      '0',
      'a'.repeat(128),
      `${'a'.repeat(128)}:rw`,
    ],
    ...[
      '',
      ' ',
      ',',
      'flows,',
      ',flows',
      'flows,,limits',
      'flows:ro',
      'flows:',
      ':rw',
      'flows:rw:rw',
      'flows :rw',
      'flows: rw',
    ],
    ...[
      'Flows',
      'flows/limits',
      '-flows',
      'flows-',
      'flows.',
      '.flows',
      'a..b',
      'fl_ows',
      'flöws',
      'a'.repeat(129),
      `${'a'.repeat(129)}:rw`,
    ],
    ...[
      'flows,flows',
      'flows,flows:rw',
      'flows:rw, flows',
      'flows;limits',
      'flows limits',
      'flows\u00a0',
      'rw',
      'rw:rw',
    ],
    ...[numbered(256), numbered(257), `${numbered(255)},m0`],
  ];
  for (const maps of texts) {
    const { refusal } = await admit(pod({ attributes: { maps }, serviceAccount: 'writer' }));
    let driver: string | undefined;
    try {
      parseMapList(maps, 'volumeAttributes.maps');
    } catch (error) {
      driver = String(error);
    }
    const text = JSON.stringify(maps.slice(0, 140));
    assert.equal(refusal === undefined, driver === undefined, `${text}\nadmission: ${refusal}\ndriver: ${driver}`);
    if (refusal !== undefined) assert.match(refusal, /csi-driver-bpffs-attributes/, text);
  }
});

suite('grants', () => {
  test('none at all: admission says what the driver says, and that it does not know the maps', async () => {
    const who = { namespace: NAMESPACE, serviceAccount: 'nobody', podName: 'p', podUid: 'u' };
    const map: BpfMap = {
      name: 'flows',
      fileName: 'f',
      maxAccess: 'ReadWrite',
      source: { kind: 'unusable', problem: '' },
    };
    for (const [maps, verb, otherwise] of [
      ['flows', 'read', 'no grant, or no such map'],
      ['flows:rw', 'write', 'no grant, no such map, or one that nobody may write'],
    ] as const) {
      const { refusal } = await admit(pod({ serviceAccount: 'nobody', attributes: { maps } }));
      const access = createClusterAccess({ client: api.admin });
      const [verdict] = await authorize([{ map, verb }], who, access, AbortSignal.timeout(10_000));
      assert(isDenied(verdict));
      const { message } = denial(who, [verdict]);
      assert.match(
        message,
        new RegExp(`^system:serviceaccount:prod:nobody may not ${verb} map "flows" \\(no grant: kubectl`),
      );
      const looking = `${otherwise}: look with kubectl get bpfmaps, or ask a cluster administrator; if it is there, kubectl`;
      const expected = message.replace('no grant: kubectl', looking);
      assert.notEqual(expected, message);
      assert(refusal?.endsWith(`denied request: ${expected}`), `${refusal}\n${expected}`);
    }
  });

  test('reading does not cover writing', async () => {
    const { refusal } = await admit(pod({ attributes: { maps: 'limits:rw, flows:rw' } }));
    assert.match(refusal ?? '', /system:serviceaccount:prod:reader may not write map "flows"/);
  });

  test('each volume counts, and so does the last map that is looked at', async () => {
    const more = [{ maps: numbered(17) }, { maps: 'secret' }];
    const { refusal } = await admit(pod({ attributes: { maps: 'flows, limits' }, more }));
    assert.match(refusal ?? '', /may not read map "secret"/);
  });

  test('more maps than that are the driver’s to judge', async () => {
    const { refusal } = await admit(pod({ attributes: { maps: `${numbered(20)}, secret` } }));
    assert.equal(refusal, undefined);
  });

  test('without an account the pod has the one called default', async () => {
    const { refusal } = await admit(pod({ serviceAccount: undefined }));
    assert.match(refusal ?? '', /system:serviceaccount:prod:default may not read/);
  });

  test('a grant of another namespace is none', async () => {
    const { refusal } = await admit(pod({}), 'default');
    assert.match(refusal ?? '', /system:serviceaccount:default:reader may not read/);
  });
});

suite('workloads', () => {
  const kinds = [
    ['apps/v1', 'Deployment'],
    ['apps/v1', 'StatefulSet'],
    ['apps/v1', 'DaemonSet'],
    ['batch/v1', 'Job'],
    ['batch/v1', 'CronJob'],
  ] as const;
  for (const [apiVersion, kind] of kinds) {
    test(`${kind}: attributes are refused, a missing grant is warned of`, async () => {
      assert.equal((await admit(workload(apiVersion, kind, pod({})))).refusal, undefined);
      const bad = await admit(workload(apiVersion, kind, pod({ attributes: { maps: 'flows:ro' } })));
      assert.match(bad.refusal ?? '', /volume v0: .*"flows:ro": read-only is the default/);
      const ungranted = await admit(workload(apiVersion, kind, pod({ serviceAccount: 'nobody' })));
      assert.equal(ungranted.refusal, undefined);
      assert.match(ungranted.warnings.join(), /prod:nobody may not read map/);
    });
  }

  test('one that was there before can be annotated and deleted, not changed', async () => {
    const bad = workload('apps/v1', 'Deployment', pod({ attributes: { maps: 'flows:ro' } }), 'old');
    await api.kubectl(['delete', 'validatingadmissionpolicybinding', 'csi-driver-bpffs-attributes']);
    await eventually('the policy is out of force', 30, async () => (await admit(bad)).refusal === undefined);
    await applyObjects(api, [bad]);
    const binding = parseManifest(await render()).find(
      ({ kind, metadata }) => kind.endsWith('PolicyBinding') && metadata.name === 'csi-driver-bpffs-attributes',
    );
    assert(binding);
    await applyObjects(api, [binding]);
    const inProd = `--namespace=${NAMESPACE}`;
    await eventually('the policy is in force', 30, async () => (await admit(bad)).refusal !== undefined);
    await api.kubectl(['annotate', 'deployment/old', inProd, 'some=thing']);
    await assert.rejects(api.kubectl(['set', 'image', 'deployment/old', inProd, 'c=other']), /flows:ro/);
    await api.kubectl(['delete', 'deployment/old', inProd]);
  });
});

suite('containers that are not held to reading', () => {
  const cases: readonly (readonly [string, object, RegExp | undefined])[] = [
    ['privileged', PRIVILEGED, /container c is privileged or has CAP_BPF/],
    ['CAP_BPF', { securityContext: { capabilities: { add: ['NET_ADMIN', 'BPF'] } } }, /container c /],
    [
      'CAP_SYS_ADMIN by its long name',
      { securityContext: { capabilities: { add: ['CAP_SYS_ADMIN'] } } },
      /container c /,
    ],
    ['all capabilities', { securityContext: { capabilities: { add: ['ALL'] } } }, /container c /],
    ['NET_ADMIN', { securityContext: { capabilities: { add: ['NET_ADMIN'] } } }, undefined],
    ['nothing', {}, undefined],
  ];
  for (const [what, container, says] of cases) {
    test(`${what}: ${says ? 'warned of' : 'quiet'}`, async () => {
      const { refusal, warnings } = await admit(pod({ container }));
      assert.equal(refusal, undefined);
      if (says) assert.match(warnings.join(), says);
      else assert.deepEqual(warnings, []);
    });
  }

  test('an init container counts', async () => {
    const { warnings } = await admit(pod({ initContainer: PRIVILEGED }));
    assert.match(warnings.join(), /container i is privileged/);
  });

  test('an ephemeral container counts, when it is added', async () => {
    await applyObjects(api, [{ ...pod({}), metadata: { name: 'running', namespace: NAMESPACE } }]);
    const harmless = await admitEphemeral('running', {});
    assert.deepEqual([harmless.refusal, harmless.warnings], [undefined, []]);
    const { refusal, warnings } = await admitEphemeral('running', PRIVILEGED);
    assert.equal(refusal, undefined);
    assert.match(warnings.join(), /container e is privileged/);
  });

  const mounts = (name: string, readOnly: boolean) => ({ volumeMounts: [{ name, mountPath: '/maps', readOnly }] });
  const readOnly = (name: string) =>
    new RegExp(
      `container . mounts volume ${name} with readOnly: true, which does not hold it to reading: .* leave :rw out`,
    );
  const mounted: readonly (readonly [string, PodOptions, RegExp | undefined])[] = [
    ['a map with :rw', { attributes: { maps: 'flows, limits:rw' }, container: mounts('v0', true) }, readOnly('v0')],
    [
      'that, by an init container',
      { attributes: { maps: 'limits:rw' }, initContainer: mounts('v0', true) },
      readOnly('v0'),
    ],
    ['that, in the second volume', { more: [{ maps: 'limits:rw' }], container: mounts('v1', true) }, readOnly('v1')],
    ['another volume than that', { more: [{ maps: 'limits:rw' }], container: mounts('v0', true) }, undefined],
    ['maps to read', { container: mounts('v0', true) }, undefined],
    [
      'a map with :rw, not said to be readOnly',
      { attributes: { maps: 'limits:rw' }, container: mounts('v0', false) },
      undefined,
    ],
  ];
  for (const [what, options, says] of mounted) {
    test(`mounted readOnly, ${what}: ${says ? 'warned of' : 'quiet'}`, async () => {
      const { refusal, warnings } = await admit(pod(options));
      assert.equal(refusal, undefined);
      if (says) assert.match(warnings.join(), says);
      else assert.deepEqual(warnings, []);
    });
  }

  test('with writable maps alone there is nothing to hold', async () => {
    const { warnings } = await admit(pod({ container: PRIVILEGED, attributes: { maps: 'limits:rw' } }));
    assert.deepEqual(warnings, []);
  });
});

suite('hostUsers, set by admission', () => {
  const given = async (options: PodOptions) => {
    const { refusal, object } = await admit(pod(options));
    assert.equal(refusal, undefined);
    return (object as Pod).spec.volumes.map(({ csi }) => csi.volumeAttributes);
  };

  before(async () => {
    const objects = parseManifest(await render({ admission: { setHostUsers: true } }));
    await applyObjects(
      api,
      objects.filter(({ metadata }) => /^csi-driver-bpffs-(attributes|host-users)$/.test(metadata.name)),
    );
    await eventually('the policies are in force', 30, async () => {
      const { refusal } = await admit(pod({ hostUsers: false }));
      const { refusal: ofWorkload } = await admit(workload('apps/v1', 'Deployment', pod({ hostUsers: false })));
      return refusal === undefined && ofWorkload === undefined;
    });
  });

  test('each inline volume of a pod with a user namespace gets it', async () => {
    assert.deepEqual(await given({ hostUsers: false, more: [{ maps: 'limits' }] }), [
      { maps: 'flows', hostUsers: 'false' },
      { maps: 'limits', hostUsers: 'false' },
    ]);
  });

  test('what the pod says of it stays, and is denied if it is wrong', async () => {
    const said = { maps: 'flows', hostUsers: 'false' };
    assert.deepEqual(await given({ hostUsers: false, attributes: said }), [said]);
    const { refusal = '' } = await admit(pod({ hostUsers: false, attributes: { maps: 'flows', hostUsers: 'true' } }));
    assert.match(refusal, /v0: volumeAttributes\.hostUsers .* write "false"/);
  });

  test('a pod without a user namespace, and volumes of other drivers, stay as they are', async () => {
    assert.deepEqual(await given({}), [{ maps: 'flows' }]);
    assert.deepEqual(await given({ hostUsers: true }), [{ maps: 'flows' }]);
    const others = { driver: 'csi.example.com', attributes: { any: 'thing' } };
    assert.deepEqual(await given({ hostUsers: false, ...others }), [{ any: 'thing' }]);
  });

  test('a workload needs no attribute; a wrong one is denied', async () => {
    const deployment = (options: PodOptions) => admit(workload('apps/v1', 'Deployment', pod(options)));
    assert.equal((await deployment({ hostUsers: false })).refusal, undefined);
    const { refusal = '' } = await deployment({
      hostUsers: false,
      more: [{ maps: 'limits', hostUsers: 'true' }],
    });
    assert.match(refusal, /volume v1: volumeAttributes\.hostUsers .* write "false"/);
  });
});

suite('delegations', () => {
  const maps = (list: string) => ({ maps: list, hostUsers: 'false' });
  const delegation = (name: string) => ({ delegation: name, hostUsers: 'false' });

  const taken = (what: string, options: PodOptions) =>
    test(`${what}: taken`, async () => {
      const { refusal, warnings } = await admit(loader(options));
      assert.deepEqual([refusal, warnings], [undefined, []]);
    });
  taken('one in a pod with a user namespace', {});
  taken('beside maps to write', { more: [maps('limits:rw')] });
  taken('with CAP_BPF and CAP_NET_ADMIN', {
    container: { securityContext: { capabilities: { add: ['BPF', 'NET_ADMIN'] } } },
  });

  const refused = (what: string, options: PodOptions, says: RegExp) =>
    test(`${what}: refused`, async () => {
      // With every grant, so that only the attributes can be refused.
      const { refusal } = await admit(loader({ serviceAccount: 'anything', ...options }));
      assert.match(refusal ?? 'taken', says);
    });
  refused(
    'without a user namespace',
    { hostUsers: true, attributes: { delegation: 'xdp' } },
    /volume v0: volumeAttributes\.delegation: a delegation takes a pod with a user namespace: write hostUsers: false/,
  );
  refused(
    'with maps',
    { attributes: { ...delegation('xdp'), maps: 'flows' } },
    /volume v0: volumeAttributes: both maps/,
  );
  refused('read-only', { readOnly: true }, /volume v0: readOnly: the pod writes to the volume of a delegation/);
  for (const name of ['', 'XDP', 'a, b', 'a'.repeat(129)]) {
    refused(
      `the name ${name.slice(0, 9)}`,
      { attributes: delegation(name) },
      /delegation: "[^"]*" is no name of a BpfD/,
    );
  }
  refused(
    'beside a map to read',
    { more: [maps('limits:rw, flows')] },
    /volume v1: volumeAttributes\.maps: "flows" is for reading, and with the delegation of volume v0 the pod could write/,
  );
  refused('neither maps nor a delegation', { attributes: { hostUsers: 'false' } }, /volume v0: .*names no map/);
  refused(
    'a second one without a grant',
    { more: [delegation('tc')], serviceAccount: 'loader' },
    /prod:loader may not use delegation "tc"/,
  );

  test('without a grant: admission says what the driver says', async () => {
    const who = { namespace: NAMESPACE, serviceAccount: 'reader', podName: 'p', podUid: 'u' };
    const access = createClusterAccess({ client: api.admin });
    const decision = await access.check(who, 'xdp', 'use', AbortSignal.timeout(10_000));
    assert(!decision.allowed);
    const { refusal } = await admit(loader({ serviceAccount: 'reader' }));
    const look = 'no grant, or no such delegation: look with kubectl get bpfdelegations; if it is there, ';
    const expected = `system:serviceaccount:prod:reader may not use delegation "xdp" (${look}${decision.remedy})`;
    assert(refusal?.endsWith(`denied request: ${expected}`), `${refusal}\n${expected}`);
  });

  test('20 maps and two delegations are within the cost limit', async () => {
    const more = [delegation('xdp'), maps(numbered(20).replaceAll(/m\d+/g, '$&:rw'))];
    assert.equal((await admit(loader({ more }))).refusal, undefined);
    const ungranted = [delegation('xdp'), maps(`${numbered(19).replaceAll(/m\d+/g, '$&:rw')},x:rw`)];
    const { refusal } = await admit(loader({ more: ungranted }));
    assert.match(refusal ?? '', /prod:loader may not write map "x"/);
  });

  const could =
    /container . .* CAP_PERFMON .* volume v0, .* memory of the whole node; .* add "xdp" to admission\.tracing/;
  const adding = (name: string) => ({ securityContext: { capabilities: { add: [name] } } });
  for (const name of ['PERFMON', 'CAP_PERFMON', 'perfmon', 'SYS_ADMIN', 'CAP_SYS_ADMIN', 'ALL']) {
    refused(`with ${name}`, { container: adding(name) }, could);
  }
  refused('in a privileged container', { container: PRIVILEGED }, could);
  refused('with CAP_PERFMON in an init container', { initContainer: adding('PERFMON') }, could);
  const permitted = { attributes: delegation('profiler'), container: adding('PERFMON') };
  taken('with CAP_PERFMON, where the administrator permits it', permitted);
  refused(
    'with CAP_PERFMON, beside one where that is permitted',
    { ...permitted, more: [delegation('xdp')] },
    /volume v1, .* add "xdp"/,
  );

  test('a workload with CAP_PERFMON: refused', async () => {
    const { refusal } = await admit(workload('apps/v1', 'DaemonSet', loader({ container: adding('PERFMON') })));
    assert.match(refusal ?? '', could);
  });

  test('an ephemeral container with CAP_PERFMON: refused', async () => {
    await applyObjects(api, [{ ...loader(), metadata: { name: 'loading', namespace: NAMESPACE } }]);
    assert.equal((await admitEphemeral('loading', adding('NET_ADMIN'))).refusal, undefined);
    assert.match((await admitEphemeral('loading', adding('PERFMON'))).refusal ?? '', could);
  });
});

const GRANTS = [
  role('reader', [
    { resourceNames: ['flows', 'limits', ...numbered(30).split(',')], verbs: ['read'] },
    { resourceNames: ['limits'], verbs: ['write'] },
  ]),
  role('writer', [{ verbs: ['read', 'write'] }]),
  role('loader', [
    { resources: ['bpfdelegations'], resourceNames: ['xdp', 'profiler'], verbs: ['use'] },
    { resourceNames: ['limits', ...numbered(30).split(',')], verbs: ['write'] },
  ]),
  binding('loader'),
  role('anything', [{ resources: ['bpfmaps', 'bpfdelegations'], verbs: ['*'] }]),
  binding('anything'),
  binding('reader'),
  binding('writer'),
];

function role(name: string, rules: readonly object[]) {
  const ours = { apiGroups: ['bpffs.dev'], resources: ['bpfmaps'] };
  return {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name: `map-${name}` },
    rules: rules.map((rule) => ({ ...ours, ...rule })),
  };
}

function binding(account: string) {
  return {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name: `map-${account}`, namespace: NAMESPACE },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: `map-${account}` },
    subjects: [{ kind: 'ServiceAccount', name: account, namespace: NAMESPACE }],
  };
}

interface PodOptions {
  readonly driver?: string;
  readonly attributes?: Readonly<Record<string, string>>;
  /** Attributes of further volumes. */
  readonly more?: readonly Readonly<Record<string, string>>[];
  readonly readOnly?: boolean;
  readonly fsType?: string;
  readonly hostUsers?: boolean;
  readonly serviceAccount?: string | undefined;
  readonly container?: object;
  readonly initContainer?: object;
}

type Pod = ReturnType<typeof pod>;

/** A pod that is admitted, unless `options` say otherwise. */
function pod(options: PodOptions) {
  const { driver = 'csi.bpffs.dev', attributes = { maps: 'flows' }, more = [], readOnly, fsType, hostUsers } = options;
  const { serviceAccount = 'serviceAccount' in options ? undefined : 'reader', container, initContainer } = options;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'candidate' },
    spec: {
      serviceAccountName: serviceAccount,
      hostUsers,
      containers: [{ name: 'c', image: 'i', ...container }],
      ...(initContainer && { initContainers: [{ name: 'i', image: 'i', ...initContainer }] }),
      volumes: [attributes, ...more].map((volumeAttributes, index) => ({
        name: `v${index}`,
        csi: { driver, volumeAttributes, readOnly, fsType },
      })),
    },
  };
}

/** A pod with a delegation that is admitted, unless `options` say otherwise. */
function loader(options: PodOptions = {}) {
  const attributes = { delegation: 'xdp', hostUsers: 'false' };
  return pod({ attributes, hostUsers: false, serviceAccount: 'loader', ...options });
}

function workload(apiVersion: string, kind: string, { spec }: Pod, name = 'candidate') {
  const metadata = { name, namespace: NAMESPACE, labels: { app: name } };
  const restartPolicy = kind.endsWith('Job') ? 'Never' : 'Always';
  const template = { metadata: { labels: metadata.labels }, spec: { ...spec, restartPolicy } };
  if (kind === 'Job') return { apiVersion, kind, metadata, spec: { template } };
  if (kind === 'CronJob')
    return { apiVersion, kind, metadata, spec: { schedule: '@daily', jobTemplate: { spec: { template } } } };
  return { apiVersion, kind, metadata, spec: { selector: { matchLabels: metadata.labels }, template } };
}

/** Submits an object as a dry run. */
async function admit(object: { apiVersion: string; kind: string }, namespace = NAMESPACE) {
  const group = object.apiVersion === 'v1' ? '/api/v1' : `/apis/${object.apiVersion}`;
  const path = `${group}/namespaces/${namespace}/${object.kind.toLowerCase()}s?dryRun=All&fieldValidation=Strict`;
  return ask({ method: 'POST', path, body: object });
}

/** Adds a container to an existing pod as `kubectl debug` does, as a dry run. */
async function admitEphemeral(podName: string, container: object) {
  const path = `/api/v1/namespaces/${NAMESPACE}/pods/${podName}/ephemeralcontainers?dryRun=All&fieldValidation=Strict`;
  const body = { spec: { ephemeralContainers: [{ name: 'e', image: 'i', ...container }] } };
  return ask({ method: 'PATCH', path, contentType: 'application/strategic-merge-patch+json', body });
}

async function ask(request: TransportRequest) {
  const answer = await transport.send(request, AbortSignal.timeout(10_000));
  const object = (await json(answer)) as { message?: string };
  const warnings = [answer.headers.warning ?? []].flat().map((warning) => warning.replace(/^299 - "|"$/g, ''));
  if (answer.statusCode === 200 || answer.statusCode === 201) return { refusal: undefined, warnings, object };
  assert(answer.statusCode === 422 || answer.statusCode === 403, `${answer.statusCode} ${object.message}`);
  return { refusal: object.message ?? '', warnings, object };
}

function numbered(count: number): string {
  return Array.from({ length: count }, (_, index) => `m${index}`).join(',');
}
