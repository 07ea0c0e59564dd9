import { copyFile, cp, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Cluster } from '../cluster/cluster.ts';
import { NAMESPACE } from '../deploy/helm.ts';

/** Where evidence goes: a directory for each failed test. */
export const EVIDENCE = join(import.meta.dirname, 'bin/failure');

/** By file, the commands that show why something failed. None prints a token. */
const COMMANDS: Readonly<Record<string, readonly [string, ...string[]]>> = {
  'pods.txt': ['kubectl', 'describe', 'pods', '--all-namespaces'],
  'claims.txt': ['kubectl', 'describe', 'persistentvolumeclaims,persistentvolumes', '--all-namespaces'],
  'events.txt': ['kubectl', 'get', 'events', '--all-namespaces', '--sort-by=.lastTimestamp', '--output=wide'],
  'objects.yaml': [
    'kubectl',
    'get',
    'bpfmaps,bpfvolumes,storageclasses,csidrivers,csinodes,rolebindings,validatingadmissionpolicybindings',
    '--all-namespaces',
    '--output=yaml',
  ],
  'mounts.txt': ['findmnt', '--types=bpf,tmpfs', '--output=TARGET,SOURCE,FSTYPE,OPTIONS,PROPAGATION'],
  'processes.txt': ['ps', '-e', '-o', 'pid,ppid,stat,etimes,rss,args', '--forest'],
};

/** Saves the present state of a cluster, and returns the directory. If a command fails, its file has the reason. */
export async function saveEvidence(cluster: Cluster, of: string): Promise<string> {
  const directory = join(EVIDENCE, of.replaceAll(/[^A-Za-z0-9]+/g, '-').slice(0, 100));
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  for (const [file, [command, ...args]] of Object.entries(COMMANDS)) {
    const text = await cluster.run(command, ...args).catch((error: unknown) => `${error}`);
    await writeFile(join(directory, file), text);
  }
  // The driver's logs, also of containers that were killed.
  const logs = join(cluster.node.directory, 'var/log/pods');
  for (const pod of await readdir(logs).catch(() => [])) {
    if (pod.startsWith(`${NAMESPACE}_`))
      await cp(join(logs, pod), join(directory, pod), { recursive: true }).catch(() => {});
  }
  for (const { log } of Object.values(cluster.components)) {
    await copyFile(log, join(directory, basename(log))).catch(() => {});
  }
  return directory;
}
