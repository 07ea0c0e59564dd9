import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { makeCgroup, removeCgroup } from './cgroup.ts';
import { eventually, Hopeless } from './eventually.ts';
import { logTail } from './log.ts';
import { findChild, findProcess, isRunning, type Process, signal } from './process.ts';

/** The node's name, also in the cluster. */
export const NODE_NAME = 'node-1';
/** An address of RFC 5737, on an interface that leads nowhere. */
export const NODE_ADDRESS = '192.0.2.10';

/** Where build.sh puts programs. On the node this is /run/cluster/bin. */
export const BIN = join(import.meta.dirname, 'bin');

/** The cluster's programs come before the machine's. */
export const NODE_PATH = '/run/cluster/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Namespaces (mount, pid, network, UTS, IPC) that stand for a machine. When their first process ends, the kernel ends all
 * others and removes their mounts and network.
 *
 * Of the directory, `cluster` is /run/cluster on the node, and `var` is /var. /run is empty at each start.
 */
export interface Node {
  readonly directory: string;
  /** The name of a cgroup at the root of each hierarchy, for all pods. */
  readonly cgroup: string;
  readonly init: Process;
  /** The command line that runs a command on the node as root; `network`: only in its network namespace. */
  enter(command: readonly string[], what?: 'network'): readonly [string, ...string[]];
  /** Turns an absolute path on the node, its mounts included, into a path for this process. */
  path(path: string): string;
  /** Kills every process on the node, waits until they have ended, and removes the cgroup. The directory stays. */
  stop(): Promise<void>;
}

interface State {
  /** The process of unshare, which lives as long as the namespaces. */
  readonly holder: Process;
  readonly init: Process;
}

/** Starts a node with its state in the directory. Unless it `outlivesCaller`, it ends with this process. */
export async function startNode(directory: string, outlivesCaller: boolean): Promise<Node> {
  if ((await readState(directory)) !== undefined) throw new Error(`${directory}: its cluster is running`);
  await access(join(BIN, 'pause')).catch(() => {
    throw new Error('the programs of a cluster are not built: run test/cluster/build.sh');
  });
  await rm(join(directory, 'state'), { recursive: true, force: true });
  for (const name of ['cluster/bin', 'cluster/proc', 'cluster/sysctl', 'log', 'state', ...VAR]) {
    await mkdir(join(directory, name), { recursive: true });
  }
  const ready = join(directory, 'cluster', 'ready');
  await rm(ready, { force: true });
  await makeCgroup(cgroupName(directory));
  const log = join(directory, 'log', 'node.log');
  const holder = await spawnHolder(directory, log, outlivesCaller);
  try {
    const init = await eventually('the node has its mounts and its network', 10, async () => {
      if (!(await isRunning(holder))) throw new Hopeless(`the node ended: ${await logTail(log)}`);
      await readFile(ready);
      return findChild(holder.pid);
    });
    await writeFile(stateFile(directory), JSON.stringify({ holder, init } satisfies State));
    return createNode(directory, { holder, init });
  } catch (error) {
    await signal(holder, 'SIGKILL');
    await removeCgroup(cgroupName(directory));
    throw error;
  }
}

/** The running node in this directory. Throws if there is none. */
export async function openNode(directory: string): Promise<Node> {
  const state = await readState(directory);
  if (state === undefined) throw new Error(`${directory}: no cluster is running there`);
  return createNode(resolve(directory), state);
}

// What programs expect in /var, which is empty at first.
const VAR = ['var/lib/kubelet/seccomp', 'var/lib/containerd', 'var/lib/etcd', 'var/log', 'var/tmp'];

const NAMESPACES = ['--mount', '--propagation', 'private', '--pid', '--mount-proc', '--net', '--uts', '--ipc'];

async function spawnHolder(directory: string, log: string, outlivesCaller: boolean): Promise<Process> {
  const output = await open(log, 'a');
  try {
    const unshare = ['unshare', ...NAMESPACES, '--fork', '--kill-child', join(import.meta.dirname, 'node.sh')];
    const [command = '', ...args] = outlivesCaller ? unshare : ['setpriv', '--pdeathsig', 'KILL', ...unshare];
    const child = spawn(command, [...args, directory, BIN], {
      detached: true,
      stdio: ['ignore', output.fd, output.fd],
      env: { ...process.env, NODE_NAME, NODE_ADDRESS },
    });
    child.unref();
    const holder = await findProcess(child.pid ?? 0);
    if (holder === undefined) throw new Error(`the node could not be made: ${await logTail(log)}`);
    return holder;
  } finally {
    await output.close();
  }
}

function createNode(directory: string, { holder, init }: State): Node {
  const cgroup = cgroupName(directory);
  return {
    directory,
    cgroup,
    init,
    enter: (command, what) => {
      const namespaces = what === 'network' ? ['--net'] : ['--mount', '--pid', '--net', '--uts', '--ipc'];
      return ['nsenter', '--target', `${init.pid}`, ...namespaces, '--', ...command];
    },
    path: (path) => join('/proc', `${init.pid}`, 'root', path),
    async stop() {
      await signal(init, 'SIGKILL');
      await eventually('every process of the node has ended', 30, async () => !(await isRunning(holder)));
      await removeCgroup(cgroup);
      await rm(stateFile(directory), { force: true });
    },
  };
}

function cgroupName(directory: string): string {
  return `csi-driver-bpffs-${createHash('sha256').update(resolve(directory)).digest('hex').slice(0, 8)}`;
}

function stateFile(directory: string): string {
  return join(directory, 'state', 'node.json');
}

async function readState(directory: string): Promise<State | undefined> {
  const text = await readFile(stateFile(directory), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const state = JSON.parse(text) as State;
  return (await isRunning(state.init)) ? state : undefined;
}
