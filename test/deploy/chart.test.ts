import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { execa } from 'execa';
import { parse } from 'yaml';
import { bpfMapSchema } from '../../src/maps/bpf-map-schema.ts';
import { chartReadme, README } from './chart-readme.ts';
import { DIGEST, EVERYTHING } from './everything.ts';
import { CHART, MANIFEST, type Manifest, parseManifest, render, renderManifest, renderTests } from './helm.ts';

const { annotations, appVersion } = parse(await readFile(join(CHART, 'Chart.yaml'), 'utf8'));

test('the rendered manifest is what the chart makes', async () => {
  assert.equal(await readFile(MANIFEST, 'utf8'), await renderManifest(), 'run `make manifests`');
});

test('the chart’s README is made from its values', async () => {
  assert.equal(await readFile(README, 'utf8'), await chartReadme(), 'run `make manifests`');
});

test('Artifact Hub is told of all images and CRDs', async () => {
  const told = (key: string): readonly Record<string, string>[] => parse(annotations[`artifacthub.io/${key}`]);
  const objects = parseManifest(await render());
  const crds = objects.filter(({ kind }) => kind === 'CustomResourceDefinition');
  assert.deepEqual(
    told('crds').map(({ kind, version, name }) => ({ kind, version, name })),
    crds.map(({ metadata: { name }, spec }) => {
      const { names, versions } = spec as CrdSpec;
      return { kind: names.kind, version: versions.find(({ storage }) => storage)?.name, name };
    }),
  );
  const images = told('images').map(({ image = '' }) => image);
  assert.deepEqual(new Set(images), imagesOf(objects));
});

test('what `helm test` creates is a pod by the rules for all pods, and the rest before it', async () => {
  const objects = await renderTests();
  const kinds = objects.map(({ kind }) => kind);
  assert.deepEqual(kinds.toSorted(), ['BpfMap', 'Pod', 'Role', 'RoleBinding', 'ServiceAccount']);
  assert.equal(kinds.at(-1), 'Pod');
  for (const { kind, metadata } of objects) {
    const { 'helm.sh/hook': hook, 'helm.sh/hook-delete-policy': deleted } = metadata.annotations ?? {};
    assert.deepEqual([hook, deleted], ['test', 'before-hook-creation,hook-succeeded'], kind);
    assert.doesNotMatch(await renderManifest(), new RegExp(`name: ${metadata.name}$`, 'm'));
  }
  const [map] = objects.filter(({ kind }) => kind === 'BpfMap');
  assert(bpfMapSchema.safeParse(map).success);
  // Of Pod Security, level restricted: https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
  const { containers, ...pod } = (objects.at(-1) as Manifest & { readonly spec: PodController['template']['spec'] })
    .spec;
  assert(!('hostNetwork' in pod || 'hostPID' in pod || 'hostIPC' in pod));
  assert.equal(pod.automountServiceAccountToken, false);
  const localhostProfile = 'csi-driver-bpffs/bpf-consumer.json';
  assert.deepEqual(
    containers.map(({ securityContext }) => securityContext),
    [
      {
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
        readOnlyRootFilesystem: true,
        runAsNonRoot: true,
        runAsUser: 65532,
        runAsGroup: 65532,
        seccompProfile: { type: 'Localhost', localhostProfile },
      },
    ],
  );
});

test('the pod of `helm test` fails for a file that is no map', async () => {
  const { spec } = (await renderTests()).at(-1) ?? assert.fail();
  const [{ command = [] } = assert.fail()] = (spec as PodController['template']['spec']).containers;
  const [, ...args] = command;
  const run = (file: string) => execa(process.execPath, [...args.slice(0, -1), file]);
  await assert.rejects(run(import.meta.filename), /is not on a bpf filesystem/);
  await assert.rejects(run(`${import.meta.filename}/missing`), /ENOTDIR/);
});

interface CrdSpec {
  readonly names: { readonly kind: string };
  readonly versions: readonly { readonly name: string; readonly storage: boolean }[];
}

test('helm finds nothing to complain of', async () => {
  const helm = join(import.meta.dirname, 'bin', 'helm');
  await execa(helm, ['lint', '--strict', '--quiet', '--values=-', CHART], { input: JSON.stringify(EVERYTHING) });
});

test('every template is one object, in a file named for it, with the labels of all', async () => {
  const seen = new Set<string>();
  for (const text of (await render(EVERYTHING, '--skip-tests=false')).split(/^---$/m)) {
    const [, file] = /^# Source: csi-driver-bpffs\/templates\/(.*)\.yaml$/m.exec(text) ?? [];
    // Custom resource definitions come from no template.
    if (file === undefined) continue;
    const [object] = parseManifest(text);
    assert(object, file);
    assert(file.endsWith(object.kind.toLowerCase()) || /-(policy|binding)$/.test(file), `${file}: ${object.kind}`);
    assert.equal(object.metadata.labels?.['app.kubernetes.io/name'], 'csi-driver-bpffs', file);
    assert.equal(object.metadata.labels?.team, 'network', file);
    if (file !== 'storageclass') assert(!seen.has(file), `${file} has two objects`);
    seen.add(file);
  }
  const templates = (await readdir(join(CHART, 'templates'))).filter((name) => name.endsWith('.yaml'));
  assert.deepEqual([...seen].sort(), templates.map((name) => name.replace('.yaml', '')).sort());
});

test('with everything off there is the node’s part alone', async () => {
  const off = { enabled: false };
  const objects = parseManifest(
    await render({ controller: off, admission: off, seccompProfile: off, networkPolicy: off, bpfman: false }),
  );
  const names = objects
    .filter(({ kind }) => kind !== 'CustomResourceDefinition')
    .map(({ kind, metadata }) => `${kind} ${metadata.name}`);
  assert.deepEqual(names.sort(), [
    'CSIDriver csi.bpffs.dev',
    'ClusterRole csi-driver-bpffs-catalog',
    'ClusterRole csi-driver-bpffs-catalog-reader',
    'ClusterRole csi-driver-bpffs-inspector',
    'ClusterRole csi-driver-bpffs-node',
    'ClusterRole csi-driver-bpffs-view',
    'ClusterRoleBinding csi-driver-bpffs-node',
    'DaemonSet csi-driver-bpffs-node',
    'Role csi-driver-bpffs-inspector',
    'ServiceAccount csi-driver-bpffs-node',
  ]);
});

test('Helm takes over what the manifest installed without a change to any pod', async () => {
  const byHelm = podTemplates(parseManifest(await render({ serviceAccountTokenInSecrets: false })));
  assert.deepEqual(podTemplates(parseManifest(await renderManifest())), byHelm);
  for (const { metadata } of byHelm) assert(!('helm.sh/chart' in metadata.labels));
});

test('the doctor in the pinner’s container knows every pin root', async () => {
  const [node] = podTemplates(parseManifest(await render(EVERYTHING)), 'DaemonSet');
  const pinner = node?.spec.initContainers?.find(({ name }) => name === 'pinner');
  const { value } = pinner?.env?.find(({ name }) => name === 'BPFFS_PIN_ROOT') ?? {};
  assert.deepEqual(value?.split(','), EVERYTHING.pinRoots);
});

test('labels and annotations of the values are on the pods', async () => {
  const [node, controller] = podTemplates(parseManifest(await render(EVERYTHING)), 'DaemonSet', 'Deployment');
  const own = (name: string) => ({
    'app.kubernetes.io/name': 'csi-driver-bpffs',
    'app.kubernetes.io/instance': 'csi-driver-bpffs',
    'app.kubernetes.io/version': appVersion,
    'app.kubernetes.io/component': name,
    'app.kubernetes.io/part-of': 'observability',
  });
  assert.deepEqual(node?.metadata, {
    labels: { ...own('node'), team: 'kernel' },
    annotations: {
      'kubectl.kubernetes.io/default-container': 'pinner',
      'openshift.io/required-scc': 'csi-driver-bpffs-node',
    },
  });
  assert.deepEqual(controller?.metadata, {
    labels: { ...own('controller'), team: 'network', zone: 'a' },
    annotations: {
      'kubectl.kubernetes.io/default-container': 'controller',
      'openshift.io/required-scc': 'nonroot-v2',
      'example.org/scrape': 'true',
    },
  });
});

test('global.imageRegistry is where all images come from', async () => {
  const images = async (values: object) => imagesOf(parseManifest(await render(values)));
  const provisioner = 'sig-storage/csi-provisioner:v6.3.0';
  assert.deepEqual(
    await images({}),
    new Set([`ghcr.io/csi-driver-bpffs/csi-driver-bpffs:${appVersion}`, `registry.k8s.io/${provisioner}`]),
  );
  const values = { global: { imageRegistry: 'mirror:5000/k8s' }, image: { repository: 'bpffs/driver', tag: '1' } };
  assert.deepEqual(await images(values), new Set(['mirror:5000/k8s/bpffs/driver:1', `mirror:5000/k8s/${provisioner}`]));
  assert((await images(EVERYTHING)).has(`registry.example/mirror/csi-driver-bpffs/csi-driver-bpffs@${DIGEST}`));
});

test('the driver keeps off virtual nodes, also when its affinity says more', async () => {
  const podAntiAffinity = { preferredDuringSchedulingIgnoredDuringExecution: [] };
  for (const affinity of [{}, { podAntiAffinity }]) {
    const [template] = podTemplates(parseManifest(await render({ node: { affinity } })), 'DaemonSet');
    assert.deepEqual(template?.spec.affinity, {
      ...affinity,
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [
            {
              matchExpressions: [
                { key: 'eks.amazonaws.com/compute-type', operator: 'NotIn', values: ['fargate'] },
                { key: 'type', operator: 'NotIn', values: ['virtual-kubelet'] },
              ],
            },
          ],
        },
      },
    });
  }
});

test('admission warns where it is told to, and the controller is restricted without it', async () => {
  const bindings = async (values: object) =>
    Object.fromEntries(
      parseManifest(await render(values))
        .filter(({ kind }) => kind === 'ValidatingAdmissionPolicyBinding')
        .map(({ metadata, spec }) => [
          metadata.name.replace('csi-driver-bpffs-', ''),
          (spec as { readonly validationActions: readonly string[] }).validationActions.join(),
        ]),
    );
  const always = { controller: 'Deny', 'grants-workloads': 'Warn', reading: 'Warn,Audit', tracing: 'Deny' };
  assert.deepEqual(await bindings({}), { ...always, attributes: 'Deny', 'grants-pods': 'Deny' });
  const warned = { ...always, attributes: 'Warn', 'grants-pods': 'Warn' };
  assert.deepEqual(await bindings({ admission: { action: 'Warn' } }), warned);
  const admission = { enabled: false };
  assert.deepEqual(await bindings({ admission }), { controller: 'Deny' });
  assert.deepEqual(await bindings({ admission, controller: { restrictVolumes: false } }), {});
});

test('metrics are for everyone, or for the peers that are named', async () => {
  const peers = async (values: object) => {
    const objects = parseManifest(await render(values));
    const { spec } = objects.find(({ kind }) => kind === 'NetworkPolicy') ?? assert.fail();
    const [rule, ...others] = (spec as { readonly ingress: readonly { readonly from?: unknown }[] }).ingress;
    assert.deepEqual(others, []);
    return rule?.from;
  };
  assert.equal(await peers({}), undefined);
  assert.deepEqual(await peers(EVERYTHING), EVERYTHING.networkPolicy.metricsFrom);
});

test('tokens come as secrets where the cluster knows that, or as one says', async () => {
  const cases: readonly (readonly [version: string, values: object, expected: boolean])[] = [
    ['1.35.9', {}, false],
    ['1.36.0', {}, true],
    ['1.36.0-gke.1', {}, true],
    ['1.40.0', { serviceAccountTokenInSecrets: false }, false],
    ['1.35.9', { serviceAccountTokenInSecrets: true }, true],
  ];
  for (const [version, values, expected] of cases) {
    const objects = parseManifest(await render(values, `--kube-version=${version}`));
    const { spec } = objects.find(({ kind }) => kind === 'CSIDriver') ?? assert.fail();
    assert.equal((spec as Record<string, unknown>).serviceAccountTokenInSecrets === true, expected, version);
  }
});

test('admission sets hostUsers where the cluster can, or as one says', async () => {
  const cases: readonly (readonly [version: string, admission: object, expected: boolean])[] = [
    ['1.35.9', {}, false],
    ['1.36.0', {}, true],
    ['1.36.0', { setHostUsers: false }, false],
    ['1.36.0', { enabled: false }, false],
    ['1.35.9', { setHostUsers: true }, true],
  ];
  for (const [version, admission, expected] of cases) {
    const objects = parseManifest(await render({ admission }, `--kube-version=${version}`));
    const kinds = objects.map(({ kind }) => kind).filter((kind) => kind.startsWith('MutatingAdmissionPolicy'));
    const both = ['MutatingAdmissionPolicyBinding', 'MutatingAdmissionPolicy'];
    assert.deepEqual(new Set(kinds), new Set(expected ? both : []), `${version} ${JSON.stringify(admission)}`);
  }
});

test('what may be made on a node is told to the pinner as numbers', async () => {
  const daemonSet = parseManifest(await render(EVERYTHING)).find(({ kind }) => kind === 'DaemonSet') ?? assert.fail();
  const { template } = daemonSet.spec as PodController;
  const { args } = template.spec.initContainers?.find(({ name }) => name === 'pinner') ?? assert.fail();
  const expected = ['--created-maps-max=1000000', '--created-memory-max=4Gi', '--workspaces-max=0'];
  assert.deepEqual(
    args?.filter((arg) => arg.includes('-max=')),
    expected,
  );
  await assert.rejects(render({ budget: { createdMemory: '1G' } }), /createdMemory/);
});

test('a comment stands before every rule of RBAC', async () => {
  const documents = (await render(EVERYTHING)).split(/^---$/m);
  const roles = documents.filter((text) => /^kind: (Cluster)?Role$/m.test(text));
  assert(roles.length >= 5);
  for (const text of roles) {
    const lines = text.split('\n');
    for (const [index, line] of lines.entries()) {
      if (line.startsWith('  - apiGroups:')) assert.match(lines[index - 1] ?? '', /^ {2}# /, text);
    }
  }
});

test('no rule has a wildcard, nor a verb upon secrets, nor one that changes RBAC', async () => {
  for (const { kind, metadata, rules } of parseManifest(await render(EVERYTHING))) {
    if (!kind.endsWith('Role')) continue;
    for (const rule of rules as readonly Record<string, readonly string[]>[]) {
      const words = Object.values(rule).flat();
      for (const word of ['*', 'secrets', 'impersonate', 'escalate', 'bind']) {
        assert(!words.includes(word), `${metadata.name}: ${word}`);
      }
      if (words.includes('rbac.authorization.k8s.io')) assert.deepEqual(rule.verbs, ['list', 'watch'], metadata.name);
      // To see that a map exists is not to see its content.
      if (rule.resources?.includes('bpfmaps'))
        assert(!words.includes('read') && !words.includes('write'), metadata.name);
    }
  }
});

test('nodes wait for a controller that tells of grants only where there is one, and RBAC is all', async () => {
  for (const [values, expected] of [
    [{}, 2],
    [{ rbacAlone: false }, 0],
    [{ controller: { enabled: false } }, 0],
  ] as const) {
    const text = await render(values);
    assert.equal(text.match(/--access-lease=csi-driver-bpffs\/csi-driver-bpffs-access\n/g)?.length ?? 0, expected);
    const objects = parseManifest(text);
    const reads = objects.some(({ rules }) => JSON.stringify(rules ?? []).includes('"clusterrolebindings"'));
    assert.equal(reads, expected > 0);
    const isThere = (name: string) =>
      objects.some(({ kind, metadata }) => kind === name && metadata.name === 'csi-driver-bpffs-node');
    assert.deepEqual([isThere('Role'), isThere('RoleBinding')], [expected > 0, expected > 0]);
  }
});

test('only the pinner is privileged, and only who talks to the API server has a token', async () => {
  for (const { kind, spec } of parseManifest(await render(EVERYTHING))) {
    if (kind !== 'DaemonSet' && kind !== 'Deployment') continue;
    const pod = (spec as PodController).template.spec;
    for (const container of [...(pod.initContainers ?? []), ...pod.containers]) {
      const { privileged, readOnlyRootFilesystem, runAsUser, ...others } = container.securityContext;
      assert.equal(privileged ?? false, container.name === 'pinner', container.name);
      assert.equal(readOnlyRootFilesystem, true, container.name);
      if (privileged) continue;
      const isRoot = container.name === 'seccomp-profile';
      assert.equal(runAsUser, isRoot ? 0 : 65532);
      assert.deepEqual(others, {
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
        runAsNonRoot: !isRoot,
        runAsGroup: runAsUser,
        seccompProfile: { type: 'RuntimeDefault' },
      });
      const hasToken = pod.automountServiceAccountToken || container.volumeMounts.some(({ name }) => name === 'token');
      assert.equal(hasToken, ['plugin', 'controller', 'provisioner'].includes(container.name), container.name);
    }
  }
});

test('external-provisioner ends before the controller, gives up its lease, and looks for one every second', async () => {
  const deployment = parseManifest(await render()).find(({ kind }) => kind === 'Deployment') ?? assert.fail();
  const { initContainers, containers } = (deployment.spec as PodController).template.spec;
  assert.deepEqual(
    initContainers?.map(({ name, restartPolicy }) => [name, restartPolicy]),
    [['controller', 'Always']],
  );
  const [provisioner] = containers;
  for (const arg of [
    '--leader-election',
    '--feature-gates=ReleaseLeaderElectionOnExit=true',
    '--leader-election-retry-period=1s',
  ])
    assert(provisioner?.args?.includes(arg), arg);
});

test('a pinner that does not answer is started anew', async () => {
  const daemonSet = parseManifest(await render()).find(({ kind }) => kind === 'DaemonSet') ?? assert.fail();
  const [pinner] = (daemonSet.spec as PodController).template.spec.initContainers ?? [];
  const socket = pinner?.args?.find((arg) => arg.startsWith('--socket='));
  const { command } = pinner?.livenessProbe?.exec ?? assert.fail();
  assert.deepEqual(command, ['bpffs-pinner', socket, 'ping']);
});

function imagesOf(objects: readonly Manifest[]): ReadonlySet<string> {
  const containers = podTemplates(objects).flatMap(({ spec }) => [...(spec.initContainers ?? []), ...spec.containers]);
  return new Set(containers.map(({ image }) => image));
}

/** The pod templates of objects of these kinds, in this order. */
function podTemplates(objects: readonly Manifest[], ...kinds: readonly string[]): readonly PodController['template'][] {
  const order = kinds.length > 0 ? kinds : ['DaemonSet', 'Deployment'];
  return order.map((kind) => {
    const { spec } = objects.find((object) => object.kind === kind) ?? assert.fail(kind);
    return (spec as PodController).template;
  });
}

interface PodController {
  readonly template: {
    readonly metadata: {
      readonly labels: Readonly<Record<string, string>>;
      readonly annotations: Readonly<Record<string, string>>;
    };
    readonly spec: {
      readonly affinity?: object;
      readonly automountServiceAccountToken: boolean;
      readonly initContainers?: readonly Container[];
      readonly containers: readonly Container[];
    };
  };
}

interface Container {
  readonly name: string;
  readonly image: string;
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly restartPolicy?: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly livenessProbe?: { readonly exec?: { readonly command: readonly string[] } };
  readonly volumeMounts: readonly { readonly name: string }[];
  readonly securityContext: {
    readonly privileged?: boolean;
    readonly readOnlyRootFilesystem?: boolean;
    readonly runAsUser?: number;
  };
}

test('the schema knows every default, and every value of the test', async () => {
  await render(parse(await readFile(join(CHART, 'values.yaml'), 'utf8')));
  await render(EVERYTHING);
});

const mistakes: readonly (readonly [object, RegExp])[] = [
  [{ imagee: {} }, /'imagee'/],
  [{ image: { digest: 'latest' } }, /digest/],
  [{ node: { tolerations: {} } }, /tolerations/],
  [{ node: { maxUnavailable: 0 } }, /maxUnavailable/],
  [{ node: { priorityClassName: 1000 } }, /priorityClassName/],
  [{ kubeletDir: 'var/lib/kubelet' }, /kubeletDir/],
  [{ kubeletDir: '/var/lib/kubelet/' }, /kubeletDir/],
  [{ pinRoots: [] }, /pinRoots/],
  [{ logLevel: 'loud' }, /logLevel/],
  [{ admission: { enable: true } }, /'enable'/],
  [{ serviceAccountTokenInSecrets: 'always' }, /serviceAccountTokenInSecrets/],
  [{ storageClasses: [{ name: 'x' }] }, /parameters/],
  [{ storageClasses: [{ name: 'x', parameters: { type: 'shred' } }] }, /type/],
  [{ networkPolicy: { apiServerPorts: ['https'] } }, /apiServerPorts/],
  [{ networkPolicy: { metricsFrom: ['monitoring'] } }, /metricsFrom/],
  [{ networkPolicy: { metricsFrom: [{}] } }, /metricsFrom/],
  [{ admission: { action: 'Audit' } }, /action/],
  [{ admission: { tracingDelegations: ["x'"] } }, /tracingDelegations/],
  [{ controller: { restrictVolumes: 'no' } }, /restrictVolumes/],
  [{ global: { imageRegistry: 'registry.example/' } }, /imageRegistry/],
  [{ commonLabels: { 'app.kubernetes.io/name': 'maps' } }, /commonLabels/],
  [{ commonLabels: { 'rbac.authorization.k8s.io/aggregate-to-edit': 'true' } }, /commonLabels/],
  [{ node: { podLabels: { 'app.kubernetes.io/component': 'maps' } } }, /podLabels/],
  [{ controller: { podAnnotations: { scrape: true } } }, /podAnnotations/],
];
for (const [values, says] of mistakes) {
  test(`the schema refuses ${JSON.stringify(values)}`, () => assert.rejects(render(values), says));
}
