import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { CallError, Code } from '../errors.ts';
import type { Pod } from './kubelet.ts';
import { type LocalNode, startLocalNode } from './local-node.ts';

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

const COLLECTOR: Pod = {
  namespace: 'prod',
  serviceAccount: 'collector',
  name: 'collector-0',
  volumeAttributes: { maps: 'flows' },
};
const TUNER: Pod = {
  namespace: 'prod',
  serviceAccount: 'tuner',
  name: 'tuner-0',
  volumeAttributes: { maps: 'flows, limits:rw' },
};

/** What a step came to: whether it was let through, and what it said. */
interface Outcome {
  readonly allowed: boolean;
  readonly text: string;
}

/**
 * Runs the driver's main job on this machine, without a cluster, and prints what each pod may do. Throws when anything
 * comes out otherwise than it should. Everything happens in a mount and pid namespace of its own.
 *
 * `root`: where the driver is; has `bin/` and `dist/`.
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

/** The demo itself, in a namespace that ends with it. `directory`: empty, for all its files. */
export async function demoInNamespace(root: string, directory: string): Promise<void> {
  const mountsBefore = await countMounts();
  const node = await startLocalNode({ root, directory, catalog: CATALOG, grants: GRANTS });
  await node.ready();
  const program = join(directory, 'map');
  await execa('install', ['-m', '0755', join(root, 'dist', 'map'), program]);
  await execa(program, ['create', join(node.pins, 'flows')]);
  await execa(program, ['write', join(node.pins, 'flows'), '80', '1500']);
  await execa(program, ['write', join(node.pins, 'flows'), '443', '98000']);

  print(`Linux ${release()}, a pinner (root, four capabilities) and a node plugin (no capability).`);
  print('A loader pinned the map "flows"; the map "limits" is made by the driver at first use.');
  print('Service account collector may read flows; tuner may read flows and write limits.\n');
  const failures = [];
  for (const step of steps(node, program)) {
    const outcome = tidy(await step.run(), directory);
    const isExpected = outcome.allowed === step.allowed && outcome.text.includes(step.says ?? '');
    if (!isExpected) failures.push(step.what);
    print(
      `${isExpected ? ' ' : '!'} ${step.who.padEnd(15)} ${step.what.padEnd(42)} ${mark(outcome)} ${outcome.text}`.trimEnd(),
    );
  }
  await node.stop();
  await execa('umount', [join(directory, 'store'), node.pins]);
  const left = [...(await readdir(join(directory, 'run'))), ...(await mountedVolumes())];
  const mounts = (await countMounts()) - mountsBefore;
  print(
    `\nStopped. Left behind: ${left.length === 0 && mounts === 0 ? 'nothing' : `${left.join(' ')}, ${mounts} mounts`}.`,
  );
  if (failures.length > 0) throw new Error(`unexpected: ${failures.join('; ')}`);
  if (left.length > 0 || mounts !== 0) throw new Error('something was left behind');
}

interface Step {
  readonly who: string;
  readonly what: string;
  readonly allowed: boolean;
  /** What has to be part of the outcome's text. */
  readonly says?: string;
  run(): Promise<Outcome>;
}

function steps(node: LocalNode, program: string): readonly Step[] {
  const { kubelet } = node;
  const who = (pod: Pod) => `${pod.namespace}/${pod.serviceAccount}`;
  const publish = (pod: Pod, allowed: boolean, says = '') => ({
    who: who(pod),
    what: `publish  maps: "${pod.volumeAttributes.maps}"`,
    allowed,
    says,
    run: () => rpc(() => kubelet.publish(pod)),
  });
  const use = (pod: Pod, what: string, args: readonly [string, string, ...string[]], allowed: boolean, says = '') => ({
    who: who(pod),
    what: `  uid 65534 ${what}`,
    allowed,
    says,
    run: () => asNobody(program, [args[0], join(kubelet.volumePath(pod), args[1]), ...args.slice(2)]),
  });
  const asks = (pod: Pod, maps: string): Pod => ({ ...pod, name: `${pod.name}-other`, volumeAttributes: { maps } });
  return [
    publish(COLLECTOR, true),
    use(COLLECTOR, 'reads flows', ['read', 'flows'], true, '443=98000'),
    use(COLLECTOR, 'writes flows', ['write', 'flows', '80', '0'], false, 'EROFS'),
    publish(TUNER, true),
    use(TUNER, 'writes limits', ['write', 'limits', '7', '100'], true),
    use(TUNER, 'reads limits', ['read', 'limits'], true, '7=100'),
    use(TUNER, 'writes flows', ['write', 'flows', '80', '0'], false, 'EROFS'),
    {
      who: who(TUNER),
      what: '  uid 0 makes a directory in the volume',
      allowed: false,
      says: 'Read-only file system',
      run: () => asRoot('mkdir', [join(kubelet.volumePath(TUNER), 'new')]),
    },
    publish(asks(COLLECTOR, 'limits:rw'), false, 'PERMISSION_DENIED'),
    publish(asks(TUNER, 'flows:rw'), false, 'PERMISSION_DENIED'),
    publish(asks(TUNER, 'limit'), false, 'NOT_FOUND'),
    ...[COLLECTOR, TUNER].map((pod) => ({
      who: who(pod),
      what: 'unpublish',
      allowed: true,
      run: () => rpc(() => kubelet.unpublish(pod)),
    })),
  ];
}

/** Long paths say nothing to who reads: a volume is /maps, as it might be in the pod, and the demo's directory is left out. */
function tidy({ allowed, text }: Outcome, directory: string): Outcome {
  const isVolume = /\/[^\s']*\/kubelet\/pods\/[^\s']*?\/mount\b/g;
  return { allowed, text: text.replaceAll(isVolume, '/maps').replaceAll(`${directory}/`, '') };
}

async function rpc(call: () => Promise<void>): Promise<Outcome> {
  try {
    await call();
    return { allowed: true, text: '' };
  } catch (error) {
    const { code, message } = CallError.from(error);
    return { allowed: false, text: `${Code[code]}: ${message}` };
  }
}

/** A program as a pod without any privileges runs it. */
async function asNobody(program: string, args: readonly string[]): Promise<Outcome> {
  return outcomeOf(await execa(program, args, { uid: 65534, gid: 65534, reject: false }));
}

/** A program as uid 0 with the capabilities that container runtimes give by default. */
async function asRoot(program: string, args: readonly string[]): Promise<Outcome> {
  const drop = ['--bounding-set=-sys_admin,-bpf', '--inh-caps=-all', '--', program, ...args];
  return outcomeOf(await execa('setpriv', drop, { env: { LC_ALL: 'C' }, reject: false }));
}

function outcomeOf({ exitCode, stdout, stderr }: { exitCode?: number; stdout: string; stderr: string }): Outcome {
  const allowed = exitCode === 0;
  return { allowed, text: allowed ? stdout.replaceAll('\n', ' ') : stderr };
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

async function mountedVolumes(): Promise<readonly string[]> {
  return (await mountTable()).filter((line) => line.includes('csi-bpffs'));
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
