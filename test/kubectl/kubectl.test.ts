// `kubectl bpffs` against a real API server, with kubectl itself and its RBAC; only the nodes are simulated.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { execa } from 'execa';
import { parse } from 'yaml';
import { type ApiServer, startApiServer } from '../apiserver/api-server.ts';
import { BIN } from '../cluster/node.ts';
import { CHART, NAMESPACE } from '../deploy/helm.ts';
import { delegationDenial, denial, file, minutesAgo, reports, volume } from './reports.ts';
import { type SimulatedNodes, simulateNodes } from './simulated-nodes.ts';

const ROOT = join(import.meta.dirname, '../..');

let api: ApiServer;
let nodes: SimulatedNodes;
let path: string;

/** Runs kubectl with the plugin on its PATH, as the administrator unless arguments say otherwise. */
async function kubectl(...args: readonly string[]) {
  const { stdout, stderr, exitCode } = await execa('kubectl', ['bpffs', ...args], {
    timeout: 60_000,
    env: { PATH: `${path}:${BIN}:${process.env.PATH}`, KUBECONFIG: api.kubeconfig, KUBERC: 'off' },
    reject: false,
  });

  return { stdout, stderr, exitCode };
}

/** Rows of a table, by columns. */
function rows(stdout: string): readonly (readonly string[])[] {
  return stdout.split('\n').map((line) => line.split(/ {3,}/));
}

before(async () => {
  api = await startApiServer();
  for (const plural of ['bpfmaps', 'bpfdelegations']) {
    await api.apply(parse(await readFile(join(CHART, `crds/bpffs.dev_${plural}.yaml`), 'utf8')));
  }
  path = await mkdtemp(join(api.directory, 'bin-'));
  await writeFile(
    join(path, 'kubectl-bpffs'),
    `#!/bin/sh\nexec ${process.execPath} ${ROOT}/dist/kubectl/kubectl-bpffs.cjs "$@"\n`,
    {
      mode: 0o755,
    },
  );
  nodes = await simulateNodes(api);
  await nodes.add(
    'node-a',
    reports(
      'node-a',
      [
        volume('reader', [file('flows', 7)]),
        volume('writer', [file('flows', 6, { access: 'write', isCurrent: false })], { generations: 2, since: null }),
        volume('late', [file('flows', 7)], { pod: null, type: null }),
      ],
      [denial('flows'), denial('secrets', { last: minutesAgo(90), namespace: 'dev' })],
      [
        delegationDenial('xdp', { last: minutesAgo(4), reason: 'absent' }),
        delegationDenial('tc', { last: minutesAgo(95) }),
      ],
    ),
  );
  await nodes.add('node-b', reports('node-b', [volume('other', [file('drops', 9), file('flows', 9)])]));
  for (const name of ['flows', 'drops']) {
    await api.apply({
      apiVersion: 'bpffs.dev/v1alpha1',
      kind: 'BpfMap',
      metadata: { name },
      spec: {
        maxAccess: name === 'flows' ? 'ReadWrite' : 'ReadOnly',
        source: { pinned: { path: `/sys/fs/bpf/${name}` } },
      },
    });
  }
});

after(async () => {
  nodes?.close();
  await api?.stop();
});

test('who: all users of a map, with access, map, whether it is current, and since when', async () => {
  const { stdout, exitCode } = await kubectl('who', 'flows');
  assert.equal(exitCode, 0);
  assert.deepEqual(rows(stdout), [
    ['NAMESPACE', 'POD', 'SERVICEACCOUNT', 'NODE', 'ACCESS', 'MAP ID', 'CURRENT', 'SINCE'],
    ['prod', 'other', 'collector', 'node-b', 'read', '9', 'yes', '3h20m'],
    ['prod', 'reader', 'collector', 'node-a', 'read', '7', 'yes', '3h20m'],
    ['prod', 'writer', 'collector', 'node-a', 'write', '6', 'no', '-'],
    ['-', 'uid-of-late', '-', 'node-a', 'read', '7', 'yes', '3h20m'],
  ]);
});

test('who: only pods of a namespace, as JSON and YAML, with nodes that were not asked left out', async () => {
  const { stdout } = await kubectl('who', 'flows', '-n', 'prod', '-o', 'json', '--node', 'node-b');
  const { items, unanswered } = JSON.parse(stdout);
  assert.deepEqual(unanswered, []);
  assert.deepEqual(items, [
    {
      node: 'node-b',
      namespace: 'prod',
      pod: 'other',
      serviceAccount: 'collector',
      volume: 'maps',
      file: 'flows',
      access: 'read',
      since: items[0].since,
      mapId: 9,
      memoryBytes: 81_920,
      isCurrent: true,
      generations: 1,
    },
  ]);
  const yaml = await kubectl('who', 'flows', '-n', 'none', '-o', 'yaml');
  assert.deepEqual(parse(yaml.stdout), { items: [], unanswered: [] });
  assert.equal((await kubectl('who', 'drops', '-n', 'none')).stdout, 'no pod uses BpfMap drops');
});

test('who: an unknown BpfMap, with the name that was probably meant', async () => {
  const { stderr, exitCode } = await kubectl('who', 'flow');
  assert.equal(stderr, 'kubectl bpffs: there is no BpfMap "flow"; did you mean "flows"?');
  assert.equal(exitCode, 1);
});

test('an unknown node is an error that names it', async () => {
  const { stderr, exitCode } = await kubectl('status', '--node', 'node-z');
  assert.equal(stderr, 'kubectl bpffs: the driver has no pod on node node-z');
  assert.equal(exitCode, 1);
});

test('where the driver is not installed, that is said', async () => {
  const { stderr, exitCode } = await kubectl('status', '--driver-namespace', 'default');
  assert.match(stderr, /there is no pod of csi-driver-bpffs-node in namespace default; .*--driver-namespace/);
  assert.equal(exitCode, 1);
});

test('status: a row for each node; a map in several volumes counts once', async () => {
  const { stdout, exitCode } = await kubectl('status');
  assert.equal(exitCode, 0);
  assert.deepEqual(rows(stdout), [
    ['NODE', 'STATE', 'KERNEL', 'VERSION', 'PINNER', 'VOLUMES', 'MAPS', 'MEMORY', 'HEARD', 'AGE'],
    ['node-a', 'ok', '6.18.0', '0.1.0', '0.1.0', '3', '2', '160 KiB', '12s', '5h'],
    ['node-b', 'ok', '6.18.0', '0.1.0', '0.1.0', '1', '1', '80 KiB', '12s', '5h'],
  ]);
});

test('denials of maps and delegations: those since a time, the latest first', async () => {
  const recent = await kubectl('denials');
  assert.deepEqual(rows(recent.stdout), [
    ['NAMESPACE', 'SERVICEACCOUNT', 'OBJECT', 'VERB', 'REASON', 'COUNT', 'LAST', 'NODE'],
    ['prod', 'web', 'xdp', 'use', 'absent', '12', '4m', 'node-a'],
    ['prod', 'web', 'flows', 'read', 'grant', '12', '5m', 'node-a'],
  ]);
  const { items } = JSON.parse((await kubectl('denials', '-o', 'json')).stdout);
  assert.deepEqual(
    items.map(({ bpfMap, bpfDelegation, verb }: Record<string, string>) => [bpfMap, bpfDelegation, verb]),
    [
      [undefined, 'xdp', 'use'],
      ['flows', undefined, 'read'],
    ],
  );
  const { stdout } = await kubectl('denials', '--since', '2h', '-o', 'wide');
  assert.deepEqual(
    rows(stdout)
      .slice(1)
      .map(([namespace, , object, ...others]) => [namespace, object, others.at(-1)]),
    [
      ['prod', 'xdp', 'no grant: kubectl create role …'],
      ['prod', 'flows', 'no grant: kubectl create role …'],
      ['dev', 'secrets', 'no grant: kubectl create role …'],
      ['prod', 'tc', 'no grant: kubectl create role …'],
    ],
  );
  const none = await kubectl('denials', '-n', 'nowhere');
  assert.equal(none.stdout, 'nothing was refused');
});

test('top: kernel memory by namespace and map; a map that several pods have counts once', async () => {
  const { stdout } = await kubectl('top');
  assert.deepEqual(rows(stdout), [
    ['NAMESPACE', 'MAP', 'MEMORY', 'MAPS', 'PODS', 'NODES'],
    ['prod', 'flows', '240 KiB', '3', '3', '2'],
    ['-', 'flows', '80 KiB', '1', '1', '1'],
    ['prod', 'drops', '80 KiB', '1', '1', '1'],
  ]);
});

test('doctor: failures first, equal results of nodes in one row, and whether the driver runs everywhere', async () => {
  const metadata = { name: 'csi-driver-bpffs-node', namespace: NAMESPACE };
  const labels = { app: 'x' };
  const template = { metadata: { labels }, spec: { containers: [{ name: 'plugin', image: 'none' }] } };
  const daemonSets = { group: 'apps', version: 'v1', plural: 'daemonsets' };
  await api.admin.create(daemonSets, {
    kind: 'DaemonSet',
    metadata,
    spec: { selector: { matchLabels: labels }, template },
  });
  const status = { desiredNumberScheduled: 2, numberReady: 2, currentNumberScheduled: 2, numberMisscheduled: 0 };
  await api.admin.patch({ ...daemonSets, subresource: 'status' }, metadata, { status });
  const well = await kubectl('doctor');
  assert.deepEqual(rows(well.stdout), [
    ['STATE', 'CHECK', 'NODES', 'FOUND'],
    ['ok', 'DaemonSet csi-driver-bpffs-node', 'cluster', '2 of 2 pods are ready'],
    ['ok', 'version', 'cluster', '0.1.0 everywhere'],
    ['ok', 'kernel', 'all 2', 'Linux 6.18.0'],
  ]);
  assert.equal(well.exitCode, 0);
  await api.admin.patch({ ...daemonSets, subresource: 'status' }, metadata, { status: { ...status, numberReady: 1 } });
  const { stdout, exitCode } = await kubectl('doctor');
  assert.match(
    stdout,
    /^fail +DaemonSet csi-driver-bpffs-node .* only 1 of 2 pods are ready; look at kubectl get pods /m,
  );
  assert.equal(exitCode, 1);
});

test('graph: one file with what the nodes and the catalog say', async () => {
  const html = join(api.directory, 'graph.html');
  const { stdout, exitCode } = await kubectl('graph', html);
  assert.equal(stdout, `${html} shows 6 pods; 2 of 2 nodes answered`);
  assert.equal(exitCode, 0);
  const text = await readFile(html, 'utf8');
  for (const name of ['reader', 'writer', 'other', 'web-0', 'pinned /sys/fs/bpf/flows'])
    assert.ok(text.includes(name), name);
  const { stderr, exitCode: failed } = await kubectl('graph', '/nowhere/graph.html');
  assert.match(stderr, /^kubectl bpffs: cannot write \/nowhere\/graph.html: ENOENT/);
  assert.equal(failed, 64);
});

test('can: what a service account may have, with the rule that allows it or what would', async () => {
  await api.kubectl(['create', 'namespace', 'prod']);
  await api.kubectl(
    'create role readers -n prod --verb=read --resource=bpfmaps.bpffs.dev --resource-name=flows'.split(' '),
  );
  await api.kubectl('create rolebinding readers -n prod --role=readers --serviceaccount=prod:collector'.split(' '));
  const { stdout, exitCode } = await kubectl('can', 'prod/collector');
  assert.deepEqual(rows(stdout), [
    ['MAP', 'READ', 'WRITE'],
    ['drops', 'no', 'no'],
    ['flows', 'yes', 'no'],
  ]);
  assert.equal(exitCode, 0);
  const wide = await kubectl('can', 'collector', '-n', 'prod', '-o', 'json');
  const [drops, flows] = JSON.parse(wide.stdout).items;
  assert.match(flows.read.why, /RoleBinding "readers\/prod" of Role "readers"/);
  assert.match(flows.write.why, /^no grant: kubectl create role write-flows -n prod /);
  assert.equal(drops.write.why, 'nobody may: its spec.maxAccess is ReadOnly');
});

test('can: one access, with an exit code', async () => {
  const may = await kubectl('can', 'prod/collector', 'read', 'flows');
  assert.match(may.stdout, /^MAP +READ +WHY\nflows +yes +RBAC: allowed by RoleBinding "readers\/prod" /);
  assert.equal(may.exitCode, 0);
  const mayNot = await kubectl('can', 'prod/collector', 'write', 'flows');
  assert.match(mayNot.stdout, /^MAP +WRITE +WHY\nflows +no +no grant: kubectl create role write-flows /);
  assert.equal(mayNot.exitCode, 1);
  assert.match((await kubectl('can', 'prod/collector', 'write', 'nothing')).stderr, /there is no BpfMap "nothing"/);
});

test('can use: which BpfDelegations a service account may use, and one with an exit code', async () => {
  assert.equal((await kubectl('can', 'prod/loader', 'use')).stdout, 'there is no BpfDelegation');
  for (const name of ['xdp', 'tc']) {
    const metadata = { name };
    await api.apply({
      apiVersion: 'bpffs.dev/v1alpha1',
      kind: 'BpfDelegation',
      metadata,
      spec: { commands: ['btf_load'] },
    });
  }
  await api.apply({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'Role',
    metadata: { name: 'users', namespace: 'prod' },
    rules: [{ apiGroups: ['bpffs.dev'], resources: ['bpfdelegations'], resourceNames: ['xdp'], verbs: ['use'] }],
  });
  await api.kubectl('create rolebinding users -n prod --role=users --serviceaccount=prod:loader'.split(' '));
  const all = await kubectl('can', 'prod/loader', 'use');
  assert.match(all.stdout, /^DELEGATION +USE +WHY\ntc +no +no grant: .*\nxdp +yes +RBAC: .*"users"/);
  assert.equal(all.exitCode, 1);
  const may = await kubectl('can', 'loader', 'use', 'xdp', '-n', 'prod', '-o', 'json');
  assert.deepEqual([JSON.parse(may.stdout).items[0].use.allowed, may.exitCode], [true, 0]);
  assert.equal((await kubectl('can', 'prod/loader', 'use', 'tc')).exitCode, 1);
  const absent = await kubectl('can', 'prod/loader', 'use', 'xpd');
  assert.match(absent.stderr, /there is no BpfDelegation "xpd"; did you mean "xdp"/);
  assert.deepEqual((await kubectl('__complete', 'can', 'prod/x', 'use', 'x')).stdout.split('\n'), ['xdp', ':4']);
});

test('a right that is missing is named, for each kind of request', async () => {
  const rules = [{ apiGroups: [''], resources: ['pods'], verbs: ['list'] }];
  const asking = async (name: string, granted: readonly object[]) => {
    await api.clientFor(name, granted);
    const token = await api.kubectl(['create', 'token', name, '--namespace=kube-system']);
    const config = parse(await readFile(api.kubeconfig, 'utf8'));
    config.users = [{ name: config.contexts[0].context.user, user: { token: token.trim() } }];
    const file = join(api.directory, `${name}.kubeconfig`);
    await writeFile(file, JSON.stringify(config));
    return (...args: readonly string[]) => kubectl(...args, '--kubeconfig', file);
  };
  const nobody = await asking('nobody', []);
  const noPods = await nobody('status');
  assert.equal(noPods.exitCode, 1);
  assert.match(noPods.stderr, /^kubectl bpffs: you may not list pods in namespace csi-driver-bpffs: /);
  assert.match(
    noPods.stderr,
    /csi-driver-bpffs-inspector .* \{apiGroups: \[""\], resources: \["pods"\], verbs: \["list"\]\}/,
  );
  assert.match((await nobody('can', 'prod/x')).stderr, /you may not list bpfmaps\.bpffs\.dev: /);

  const lister = await asking('lister', rules);
  const noForward = await lister('status');
  assert.equal(noForward.exitCode, 1);
  assert.equal(noForward.stderr.split('\n').length, 1, 'once, and not for each node');
  assert.match(noForward.stderr, /you may not get pods\/portforward in namespace csi-driver-bpffs: /);

  const reader = await asking('reader', [{ apiGroups: ['bpffs.dev'], resources: ['bpfmaps'], verbs: ['list'] }]);
  assert.match(
    (await reader('can', 'prod/x')).stderr,
    /you may not create subjectaccessreviews\.authorization\.k8s\.io/,
  );
});

test('nodes that do not answer are named, and the others are shown', async () => {
  await nodes.add('node-c', 'closed');
  await nodes.add('node-d', { body: 'the pinner does not answer\n', status: 503 });
  await nodes.add('node-e', { body: '{"node": "node-e", "volumes": 1}' });
  await nodes.add('node-f', { body: 'not JSON' });
  await nodes.add('node-g', { body: 'only /healthz, /readyz, /metrics\n', status: 404 });
  const { stdout, stderr, exitCode } = await kubectl('who', 'drops');
  assert.equal(rows(stdout).length, 2);
  assert.equal(exitCode, 3);
  const lines = stderr.split('\n');
  assert.equal(lines.length, 5);
  assert.match(lines[0] ?? '', /^kubectl bpffs: node node-c: .*connection refused/);
  assert.equal(lines[1], 'kubectl bpffs: node node-d: the pinner does not answer');
  assert.match(lines[2] ?? '', /^kubectl bpffs: node node-e: its report has an unknown form at "time"/);
  assert.match(lines[3] ?? '', /^kubectl bpffs: node node-f: its node plugin does not answer: .*JSON/);
  assert.equal(lines[4], 'kubectl bpffs: node node-g: its node plugin is too old to be asked');
});

test('a node that is silent is given up after the timeout', async () => {
  await nodes.add('node-i', 'silent');
  const { stderr, exitCode } = await kubectl('denials', '--node', 'node-i', '--timeout', '1');
  assert.equal(stderr, 'kubectl bpffs: node node-i: it did not answer within 1 s');
  assert.equal(exitCode, 3);
});

test('what comes from nodes cannot steer the terminal', async () => {
  const name = 'evil\u001b[2J';
  await nodes.add('node-h', reports('node-h', [volume(name, [file('flows', 1)])]));
  const { stdout } = await kubectl('who', 'flows', '--node', 'node-h');
  assert.match(stdout, /evil\\u\{1b\}\[2J/);
});

test('a long answer arrives whole', async () => {
  const pods = Array.from({ length: 3000 }, (_, index) => volume(`pod-${index}`, [file('flows', 1)]));
  await nodes.add('node-j', reports('node-j', pods));
  const { stdout } = await kubectl('who', 'flows', '--node', 'node-j', '-o', 'json');
  assert.equal(JSON.parse(stdout).items.length, 3000);
});

test('wrong usage says what is wrong, and exits with 64', async () => {
  for (const [args, problem] of [
    [['who'], "missing required argument 'map'"],
    [['denials', '--since', 'yesterday'], 'It must be a duration: 90s, 15m, 1h or 2d.'],
    [['status', '-o', 'xml'], 'Allowed choices are table, wide, json, yaml.'],
    [['can', 'a/b/c'], 'It must be NAMESPACE/NAME or NAME.'],
    [['status', '--context', 'nowhere'], 'nowhere'],
    [['status', '--timeout', '0'], 'It must be a whole number from 1 to 9999.'],
  ] as const) {
    const { stderr, exitCode } = await kubectl(...args);
    assert.ok(stderr.startsWith('kubectl bpffs: ') && stderr.includes(problem), stderr);
    assert.equal(exitCode, 64, args.join(' '));
  }
});

test('the shell completes commands, flags, verbs and the names of BpfMaps', async () => {
  const complete = async (...words: readonly string[]) => (await kubectl('__complete', ...words)).stdout.split('\n');
  assert.deepEqual(await complete('wh'), ['who', ':4']);
  assert.deepEqual(await complete('who', ''), ['drops', 'flows', ':4']);
  assert.deepEqual(await complete('can', 'prod/x', ''), ['read', 'write', 'use', ':4']);
  assert.deepEqual(await complete('can', 'prod/x', 'read', 'f'), ['flows', ':4']);
  assert.deepEqual(await complete('status', '--out'), ['--output', ':4']);
  assert.deepEqual(await complete('status', '-o', 'w'), ['wide', ':4']);
});
