import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { inlineSteps, type Outcome, sharedSteps } from './demo-steps.ts';
import { NODE_NAME, startLocalNode } from './local-node.ts';

const CATALOG = `\
apiVersion: bpffs.dev/v1alpha1
kind: BpfMap
metadata: { name: flows }
spec:
  source: { pinned: { path: "{pins}/flows" } }      # what a loader has pinned
---
apiVersion: bpffs.dev/v1alpha1
kind: BpfMap
metadata: { name: limits }
spec:
  source: { created: { type: hash, keySize: 4, valueSize: 8, maxEntries: 64 } }   # made at first use
  maxAccess: ReadWrite
`;

const GRANTS = `\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: flows-reader }
rules:
- { apiGroups: [bpffs.dev], resources: [bpfmaps], resourceNames: [flows], verbs: [read] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: limits-writer }
rules:
- { apiGroups: [bpffs.dev], resources: [bpfmaps], resourceNames: [limits], verbs: [read, write] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: flows-reader, namespace: prod }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: flows-reader }
subjects:
- { kind: ServiceAccount, name: collector, namespace: prod }
- { kind: ServiceAccount, name: tuner, namespace: prod }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: limits-writer, namespace: prod }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: limits-writer }
subjects:
- { kind: ServiceAccount, name: tuner, namespace: prod }
`;

/** The parameters of a StorageClass. */
const SHARED = {
  type: 'shared',
  newMaps: '- { name: counts, type: hash, keySize: 4, valueSize: 8, maxEntries: 16 }',
};

/**
 * Runs the driver's main job on this machine, without a cluster, and prints what each pod may do. Throws when a result is not as it should
 * be. Runs in its own mount and pid namespaces.
 *
 * `root`: the installation directory, with `bin/` and `dist/`.
 */
export async function demo(root: string): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'csi-driver-bpffs-demo-'));
  try {
    const isolated = ['--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child', '--mount-proc'];
    const command = [join(root, 'bin', 'csi-driver-bpffs'), 'demo', '--directory', directory];
    const { exitCode } = await execa('unshare', [...isolated, ...command], { stdio: 'inherit', reject: false });
    if (exitCode !== 0) throw new Error('the demo failed');
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** The demo itself, in a namespace that ends with it. `directory`: an empty one, for all its files. */
export async function demoInNamespace(root: string, directory: string): Promise<void> {
  const mountsBefore = await countMounts();
  const node = await startLocalNode({ root, directory, catalog: CATALOG, grants: GRANTS, vouched: true });
  await node.ready();
  const program = join(directory, 'map');
  await execa('install', ['-m', '0755', join(root, 'dist', 'map'), program]);
  await execa(program, ['create', join(node.pins, 'flows')]);
  await execa(program, ['write', join(node.pins, 'flows'), '80', '1500']);
  await execa(program, ['write', join(node.pins, 'flows'), '443', '98000']);

  print(`Linux ${release()}, a pinner (root, four capabilities), a node plugin and a controller (no capability).`);
  print('A loader pinned the map "flows"; the map "limits" is made by the driver at first use.');
  print('Service account collector may read flows; tuner may read flows and write limits.');
  print('A claim of a StorageClass with type: shared has the map "counts"; producer and consumer mount it.\n');
  const claim = { namespace: 'prod', name: 'counts' };
  const counts = await node.provisioner.createVolume({ ...claim, parameters: SHARED, nodeName: NODE_NAME });
  const failures = [];
  for (const step of [...inlineSteps(node, program), ...sharedSteps(node, program, counts)]) {
    const outcome = tidy(await step.run(), directory);
    const isExpected = outcome.allowed === step.allowed && outcome.text.includes(step.says ?? '');
    if (!isExpected) failures.push(step.what);
    print(
      `${isExpected ? ' ' : '!'} ${step.who.padEnd(15)} ${step.what.padEnd(42)} ${mark(outcome)} ${outcome.text}`.trimEnd(),
    );
  }
  await node.provisioner.deleteVolume(counts);
  await node.stop();
  await execa('umount', [node.storeDirectory, node.pins]);
  const left = [...(await readdir(join(directory, 'run'))), ...(await mountedVolumes(directory))];
  const mounts = (await countMounts()) - mountsBefore;
  print(
    `\nStopped. Left behind: ${left.length === 0 && mounts === 0 ? 'nothing' : `${left.join(' ')}, ${mounts} mounts`}.`,
  );
  if (failures.length > 0) throw new Error(`unexpected: ${failures.join('; ')}`);
  if (left.length > 0 || mounts !== 0) throw new Error('something was left behind');
}

/** Shortens paths: a volume is shown as /maps, as it might be in the pod, and the demo's directory is omitted. */
function tidy({ allowed, text }: Outcome, directory: string): Outcome {
  const isVolume = /\/[^\s']*\/kubelet\/pods\/[^\s']*?\/mount\b/g;
  return { allowed, text: text.replaceAll(isVolume, '/maps').replaceAll(`${directory}/`, '') };
}

function mark({ allowed }: Outcome): string {
  return allowed ? 'yes' : 'no ';
}

async function mountTable(): Promise<readonly string[]> {
  return (await readFile('/proc/self/mountinfo', 'utf8')).trimEnd().split('\n');
}

async function countMounts(): Promise<number> {
  return (await mountTable()).length;
}

/** Only below `directory`: the driver itself may be installed on this machine. */
async function mountedVolumes(directory: string): Promise<readonly string[]> {
  return (await mountTable()).filter((line) => line.includes('csi-bpffs') && line.includes(`${directory}/`));
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
