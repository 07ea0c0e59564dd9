import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import type { Pod } from '../../src/cli/kubelet.ts';
import { type LocalNode, NODE_NAME, startLocalNode } from '../../src/cli/local-node.ts';
import type { Volume } from '../../src/rpc/csi.ts';

const root = process.cwd();

/** A pod's program: see native/examples/map. */
export const mapProgram = join(root, 'dist', 'map');

/** Maps from every kind of source; flows and limits as in the README. */
const CATALOG = `\
apiVersion: bpffs.dev/v1alpha1
kind: BpfMap
metadata: { name: flows }
spec: { source: { pinned: { path: "{pins}/flows" } } }
---
apiVersion: bpffs.dev/v1alpha1
kind: BpfMap
metadata: { name: limits }
spec:
  source: { created: { type: hash, keySize: 4, valueSize: 8, maxEntries: 64 } }
  maxAccess: ReadWrite
---
apiVersion: bpffs.dev/v1alpha1
kind: BpfMap
metadata: { name: later }
spec: { source: { pinned: { path: "{pins}/later" } } }
---
apiVersion: bpffs.dev/v1alpha1
kind: BpfMap
metadata: { name: unloaded }
spec: { source: { loaded: { map: nowhere, program: nobody } } }
---
apiVersion: bpffs.dev/v1alpha1
kind: BpfMap
metadata: { name: twins }
spec: { source: { loaded: { map: demo } } }
---
apiVersion: bpffs.dev/v1alpha1
kind: BpfMap
metadata: { name: directory }
spec: { source: { pinned: { path: "{pins}/directory" } } }
---
apiVersion: bpffs.dev/v1alpha1
kind: BpfMap
metadata: { name: agent }
spec: { source: { workspace: { namespace: prod, claim: workspace, path: agent } } }
---
apiVersion: bpffs.dev/v1alpha1
kind: BpfMap
metadata: { name: ungranted }
spec: { source: { pinned: { path: "{pins}/flows" } }, maxAccess: ReadWrite }
`;

const GRANTS = `\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: maps }
rules:
- apiGroups: [bpffs.dev]
  resources: [bpfmaps]
  resourceNames: [flows, limits, later, unloaded, twins, directory, agent]
  verbs: [read, write]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: maps, namespace: prod }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: maps }
subjects:
- { kind: ServiceAccount, name: app, namespace: prod }
`;

let pods = 0;

/** A unique pod that asks for `maps`. */
export function pod(maps: string, change: Partial<Pod> = {}): Pod {
  pods += 1;
  const name = `pod-${pods}`;
  return { namespace: 'prod', serviceAccount: 'app', name, volumeAttributes: { maps }, ...change };
}

/** A pod that mounts the claim of `persistentVolume`, unique unless `change` names it. */
export function claimant(persistentVolume: Volume, change: Partial<Pod> = {}): Pod {
  return pod('', { volumeName: 'claimed', persistentVolume, ...change });
}

/** Creates the volume of a claim in the pods' namespace, on this node. */
export function claim(
  { provisioner }: LocalNode,
  name: string,
  parameters: Readonly<Record<string, string>>,
): Promise<Volume> {
  return provisioner.createVolume({ namespace: 'prod', name, parameters, nodeName: NODE_NAME });
}

/** The command prefix that runs a command as uid 65534 with these capabilities and no way to gain others. */
export function unprivileged(capabilities: readonly string[] = []): readonly string[] {
  const kept = ['-all', ...capabilities.map((name) => `+${name}`)].join();
  return [
    ...['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', '--no-new-privs'],
    ...[`--bounding-set=${kept}`, `--inh-caps=${kept}`, `--ambient-caps=${kept}`, '--'],
  ];
}

/** Runs a program as an unprivileged pod, but with these capabilities. */
export function asPod(program: string, args: readonly string[], capabilities: readonly string[] = []) {
  const [command = '', ...words] = unprivileged(capabilities);
  return execa(command, [...words, program, ...args]);
}

/** Unmounts what a test left, so that a failed test shows its own error and disturbs no other. */
async function unmountBeneath(directory: string): Promise<void> {
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').map((line) => line.split(' ')[4] ?? '');
  for (const mount of mounts.reverse()) {
    if (mount.startsWith(`${directory}/`)) await execa('umount', ['--lazy', mount], { reject: false });
  }
}

/** Runs `use` with its own node, whose map flows has one element, and cleans up. */
export async function withNode(use: (node: LocalNode, directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'csi-driver-bpffs-test-'));
  try {
    const node = await startLocalNode({ root, directory, catalog: CATALOG, grants: GRANTS, vouched: true });
    try {
      await node.ready();
      await execa(mapProgram, ['create', join(node.pins, 'flows')]);
      await execa(mapProgram, ['write', join(node.pins, 'flows'), '1', '100']);
      await use(node, directory);
    } finally {
      await node.stop();
      await unmountBeneath(directory);
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
