import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import type { Pod } from '../../src/cli/kubelet.ts';
import { type LocalNode, startLocalNode } from '../../src/cli/local-node.ts';

const root = process.cwd();

/** The program of a pod: see native/examples/map.rs. */
export const mapProgram = join(root, 'dist', 'map');

/** Maps of every kind of source; flows and limits as in the README. */
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
  resourceNames: [flows, limits, later, unloaded, twins, directory]
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

/** A pod that asks for `maps`, and exists once. */
export function pod(maps: string, change: Partial<Pod> = {}): Pod {
  pods += 1;
  const name = `pod-${pods}`;
  return { namespace: 'prod', serviceAccount: 'app', name, volumeAttributes: { maps }, ...change };
}

/** Runs `use` with a node of its own, on which flows has one element; nothing of it stays. */
export async function withNode(use: (node: LocalNode, directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'csi-driver-bpffs-test-'));
  try {
    const node = await startLocalNode({ root, directory, catalog: CATALOG, grants: GRANTS });
    try {
      await node.ready();
      await execa(mapProgram, ['create', join(node.pins, 'flows')]);
      await execa(mapProgram, ['write', join(node.pins, 'flows'), '1', '100']);
      await use(node, directory);
    } finally {
      await node.stop();
      await execa('umount', ['--recursive', join(directory, 'store'), node.pins], { reject: false });
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
