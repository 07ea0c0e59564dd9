import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EVERYTHING } from './everything.ts';
import { type Manifest, parseManifest, render, renderTests } from './helm.ts';
import { admit, type Constraints, NAMESPACE, type PodSpec, stricter } from './security-context-constraints.ts';

const ON = { securityContextConstraints: true };

const PROFILE = 'localhost/csi-driver-bpffs/bpf-consumer.json';

/** https://github.com/openshift/cluster-kube-apiserver-operator/tree/main/bindata/bootkube/scc-manifests */
const NONROOT_V2: Constraints = {
  allowPrivilegedContainer: false,
  allowPrivilegeEscalation: false,
  allowHostDirVolumePlugin: false,
  allowHostIPC: false,
  allowHostNetwork: false,
  allowHostPID: false,
  allowHostPorts: false,
  allowedCapabilities: ['NET_BIND_SERVICE'],
  defaultAddCapabilities: [],
  requiredDropCapabilities: ['ALL'],
  readOnlyRootFilesystem: false,
  runAsUser: { type: 'MustRunAsNonRoot' },
  fsGroup: { type: 'RunAsAny' },
  supplementalGroups: { type: 'RunAsAny' },
  seLinuxContext: { type: 'MustRunAs' },
  seccompProfiles: ['runtime/default'],
  volumes: [
    'configMap',
    'csi',
    'downwardAPI',
    'emptyDir',
    'ephemeral',
    'image',
    'persistentVolumeClaim',
    'projected',
    'secret',
  ],
};
const RESTRICTED_V2: Constraints = {
  ...NONROOT_V2,
  runAsUser: { type: 'MustRunAsRange' },
  fsGroup: { type: 'MustRunAs' },
};

/** Node pods with little and with everything that the values can ask for. */
const VALUES = { default: ON, everything: EVERYTHING };
for (const [name, values] of Object.entries(VALUES)) {
  test(`the node plugin’s constraint fits its pods exactly, values: ${name}`, async () => {
    const objects = parseManifest(await render(values));
    const constraints = constraintsOf(objects, 'csi-driver-bpffs-node');
    const pod = podOf(objects, 'DaemonSet');
    const { reasons, containers } = admit(constraints, pod);
    assert.deepEqual(reasons, []);
    // It gives the pods no other uid or domain than they have on other clusters.
    for (const { name, runAsUser, seLinuxOptions } of containers) {
      assert.deepEqual([name, runAsUser], [name, name === 'plugin' ? 65532 : 0]);
      assert.deepEqual(seLinuxOptions, { type: 'spc_t', level: 's0' });
    }
    // Any other strategy would give the pods a group.
    assert.deepEqual([constraints.fsGroup.type, constraints.supplementalGroups.type], ['RunAsAny', 'RunAsAny']);
    const needless = stricter(constraints, pod).filter(([, less]) => admit(less, pod).reasons.length === 0);
    assert.deepEqual(
      needless.map(([field]) => field),
      [],
    );
  });
}

test('without constraints the pods are as on every other cluster', async () => {
  const objects = parseManifest(await render());
  assert.equal(podOf(objects, 'DaemonSet').securityContext, undefined);
  assert.doesNotMatch(JSON.stringify(objects), /openshift\.io\/(required-scc|v1)|securitycontextconstraints/);
});

test('another domain for the node plugin’s pods is the constraint’s, too', async () => {
  const seLinuxOptions = { type: 'super_t', level: 's0:c1' };
  const objects = parseManifest(await render({ ...ON, node: { seLinuxOptions } }));
  const { reasons, containers } = admit(constraintsOf(objects, 'csi-driver-bpffs-node'), podOf(objects, 'DaemonSet'));
  assert.deepEqual(reasons, []);
  for (const container of containers) assert.deepEqual(container.seLinuxOptions, seLinuxOptions);
});

test('the controller’s pods fit nonroot-v2', async () => {
  const objects = parseManifest(await render(ON));
  assert.deepEqual(admit(NONROOT_V2, podOf(objects, 'Deployment')).reasons, []);
  assert.notDeepEqual(admit(RESTRICTED_V2, podOf(objects, 'Deployment')).reasons, []);
});

test('who may use which constraint, and which pod requires which', async () => {
  const objects = [...parseManifest(await render(ON)), ...(await renderTests(ON))];
  const uses = objects.flatMap(({ kind, metadata, rules = [] }) =>
    (rules as readonly Rule[])
      .filter(({ apiGroups }) => apiGroups.includes('security.openshift.io'))
      .map(({ apiGroups: _, ...rule }) => [`${kind} ${metadata.name}`, rule]),
  );
  const use = (name: string) => ({ resources: ['securitycontextconstraints'], resourceNames: [name], verbs: ['use'] });
  assert.deepEqual(Object.fromEntries(uses), {
    'ClusterRole csi-driver-bpffs-node': use('csi-driver-bpffs-node'),
    'Role csi-driver-bpffs-controller': use('nonroot-v2'),
    'Role csi-driver-bpffs-test': use('csi-driver-bpffs-reader'),
  });
  const required = objects.flatMap(({ kind, metadata, spec }) => {
    const { annotations } = (spec as Partial<Template> | undefined)?.template?.metadata ?? metadata;
    const name = annotations?.['openshift.io/required-scc'];
    return name === undefined ? [] : [[kind, name]];
  });
  assert.deepEqual(Object.fromEntries(required), {
    DaemonSet: 'csi-driver-bpffs-node',
    Deployment: 'nonroot-v2',
    Pod: 'csi-driver-bpffs-reader',
  });
  for (const { kind, users, groups } of objects)
    if (kind === 'SecurityContextConstraints') assert.deepEqual([users, groups], [[], []]);
});

test('they are made where the cluster has them, or as one says', async () => {
  const there = ['--api-versions=security.openshift.io/v1'];
  for (const [values, flags, expected] of [
    [{}, [], 0],
    [{}, there, 3],
    [{ securityContextConstraints: false }, there, 0],
    [ON, [], 3],
  ] as const) {
    const objects = parseManifest(await render(values, ...flags));
    const made = objects.filter(({ kind }) => kind === 'SecurityContextConstraints');
    assert.equal(made.length, expected, JSON.stringify([values, flags]));
  }
});

const VOLUMES = [{ name: 'maps', csi: { driver: 'csi.bpffs.dev' } }];
const ASKS_NOTHING: PodSpec = { containers: [{ name: 'app' }], volumes: VOLUMES };

for (const role of ['reader', 'writer']) {
  const own = async () => constraintsOf(parseManifest(await render(ON)), `csi-driver-bpffs-${role}`);

  test(`a ${role}’s pod that asks for nothing gets what it takes`, async () => {
    assert.deepEqual(admit(await own(), ASKS_NOTHING), {
      reasons: [],
      containers: [
        {
          name: 'app',
          runAsUser: NAMESPACE.firstUid,
          seLinuxOptions: { type: `bpf-${role}.process`, level: NAMESPACE.level },
          seccompProfile: PROFILE,
          drop: ['ALL'],
        },
      ],
    });
  });

  test(`a ${role}’s constraint is restricted-v2 but for SELinux’s type and the seccomp profile`, async () => {
    const { seLinuxContext, seccompProfiles, allowedCapabilities, ...others } = await own();
    assert.deepEqual(seLinuxContext, { type: 'MustRunAs', seLinuxOptions: { type: `bpf-${role}.process` } });
    assert.deepEqual(seccompProfiles, [PROFILE, 'runtime/default']);
    assert.deepEqual(allowedCapabilities, []);
    for (const [field, value] of Object.entries(RESTRICTED_V2))
      if (field in others) assert.deepEqual(others[field as keyof typeof others], value, field);
  });
}

test('restricted-v2 takes no pod with the seccomp profile, nor with a type of its own', () => {
  const pod = (securityContext: PodSpec['securityContext'] & {}): PodSpec => ({ ...ASKS_NOTHING, securityContext });
  assert.deepEqual(admit(RESTRICTED_V2, ASKS_NOTHING).reasons, []);
  const seccompProfile = { type: 'Localhost', localhostProfile: 'csi-driver-bpffs/bpf-consumer.json' };
  assert.match(admit(RESTRICTED_V2, pod({ seccompProfile })).reasons.join(), /seccompProfile/);
  const seLinuxOptions = { type: 'bpf-reader.process', level: NAMESPACE.level };
  assert.match(admit(RESTRICTED_V2, pod({ seLinuxOptions })).reasons.join(), /seLinuxOptions/);
});

test('without the seccomp profile there is none to allow', async () => {
  const objects = parseManifest(await render({ ...ON, seccompProfile: { enabled: false } }));
  assert.deepEqual(constraintsOf(objects, 'csi-driver-bpffs-reader').seccompProfiles, ['runtime/default']);
});

for (const enabled of [true, false]) {
  test(`the pod of \`helm test\` is a reader’s, ${enabled ? 'with' : 'without'} the seccomp profile`, async () => {
    const values = { ...ON, seccompProfile: { enabled } };
    const constraints = constraintsOf(parseManifest(await render(values)), 'csi-driver-bpffs-reader');
    const { spec } = (await renderTests(values)).at(-1) ?? assert.fail();
    assert.deepEqual(admit(constraints, spec as PodSpec).reasons, []);
  });
}

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
}

interface Template {
  readonly template: { readonly metadata: Manifest['metadata']; readonly spec: PodSpec };
}

function constraintsOf(objects: readonly Manifest[], name: string): Constraints {
  const found = objects.find(({ kind, metadata }) => kind === 'SecurityContextConstraints' && metadata.name === name);
  const {
    apiVersion: _,
    kind: __,
    metadata: ___,
    priority,
    users,
    groups,
    ...constraints
  } = found ?? assert.fail(name);
  return constraints as unknown as Constraints;
}

function podOf(objects: readonly Manifest[], kind: string): PodSpec {
  const { spec } = objects.find((object) => object.kind === kind) ?? assert.fail(kind);
  return (spec as Template).template.spec;
}
