import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { CallError } from '../errors.ts';
import { createKubelet, type Kubelet } from './kubelet.ts';

/** What a local node is made from. */
export interface LocalNodeOptions {
  /** Where the driver is: has `bin/` and `dist/`. */
  readonly root: string;
  /** An existing, empty directory on a filesystem that bpffs mounts can be put into; everything lies beneath it. */
  readonly directory: string;
  /** YAML with BpfMap objects; {pins} stands for the directory beneath which sources may be pinned. */
  readonly catalog: string;
  /** YAML with RBAC objects. */
  readonly grants: string;
}

/**
 * A pinner and a node plugin on this machine, without a cluster: the pinner as root, the node plugin without any capability.
 * Their logs are `pinner.log` and `node-plugin.log` in the directory.
 */
export interface LocalNode {
  /** A bpffs for sources: `<pins>/<file>`. */
  readonly pins: string;
  readonly kubeletDirectory: string;
  readonly csiSocket: string;
  readonly pinnerSocket: string;
  readonly catalogFile: string;
  readonly grantsFile: string;
  /** Speaks to the node plugin as the kubelet does. */
  readonly kubelet: Kubelet;
  /** The processes as they are now; a restart replaces them. */
  pinner(): ChildProcess;
  nodePlugin(): ChildProcess;
  startPinner(): void;
  startNodePlugin(): void;
  /** Waits until the node plugin says that it is ready. Throws what it logged if it has ended, or after ten seconds. */
  ready(): Promise<void>;
  /** Ends both processes with SIGTERM and waits for them. Mounts and files stay. */
  stop(): Promise<void>;
}

const READY_TIMEOUT_MS = 10_000;

/** Sends a signal that ends a process, and waits for that. */
export async function end(process: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (process.exitCode !== null || process.signalCode !== null) return;
  const ended = once(process, 'exit');
  process.kill(signal);
  await ended;
}

/** Prepares the directory, mounts a bpffs for sources in it and starts both processes. Needs root. */
export async function startLocalNode(options: LocalNodeOptions): Promise<LocalNode> {
  const { root, directory } = options;
  const at = (...names: string[]) => join(directory, ...names);
  const pins = at('pins');
  const kubeletDirectory = at('kubelet');
  await chmod(directory, 0o711);
  for (const path of [pins, at('run'), at('kubelet', 'pods')]) await mkdir(path, { recursive: true });
  await execa('mount', ['-t', 'bpf', '-o', 'mode=0700', 'pins', pins]);
  const catalogFile = at('catalog.yaml');
  const grantsFile = at('grants.yaml');
  await writeFile(catalogFile, options.catalog.replaceAll('{pins}', pins));
  await writeFile(grantsFile, options.grants);
  const csiSocket = at('run', 'csi.sock');
  const pinnerSocket = at('run', 'pinner.sock');
  const kubelet = createKubelet(csiSocket, kubeletDirectory);
  const logs = { pinner: await open(at('pinner.log'), 'a'), nodePlugin: await open(at('node-plugin.log'), 'a') };

  const run = (log: number, command: string, args: readonly string[]) =>
    spawn(command, args, { stdio: ['ignore', log, log] });
  const startPinner = () =>
    run(logs.pinner.fd, join(root, 'dist', 'bpffs-pinner'), [
      ...['--socket', pinnerSocket, '--peer-uid', '0', '--kubelet-dir', kubeletDirectory],
      ...['--store-dir', at('store'), '--pin-root', pins],
    ]);
  const startNodePlugin = () =>
    run(logs.nodePlugin.fd, 'setpriv', [
      ...['--bounding-set=-all', '--inh-caps=-all', '--no-new-privs', join(root, 'bin', 'csi-driver-bpffs'), 'node'],
      ...['--node-id', 'local', '--endpoint', `unix://${csiSocket}`, '--pinner-endpoint', `unix://${pinnerSocket}`],
      ...['--catalog', catalogFile, '--grants', grantsFile, '--http-address', 'off'],
    ]);

  let pinner = startPinner();
  let nodePlugin = startNodePlugin();

  async function ready(): Promise<void> {
    const deadline = Date.now() + READY_TIMEOUT_MS;
    for (;;) {
      const answer = await kubelet.probe().catch(CallError.from);
      if (answer === true) return;
      const ended = [pinner, nodePlugin].some(({ exitCode, signalCode }) => exitCode !== null || signalCode !== null);
      if (ended || Date.now() > deadline) {
        const said = await Promise.all(['pinner.log', 'node-plugin.log'].map((log) => readFile(at(log), 'utf8')));
        throw new Error(`the driver did not start:\n${said.join('')}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  return {
    pins,
    kubeletDirectory,
    csiSocket,
    pinnerSocket,
    catalogFile,
    grantsFile,
    kubelet,
    pinner: () => pinner,
    nodePlugin: () => nodePlugin,
    startPinner() {
      pinner = startPinner();
    },
    startNodePlugin() {
      nodePlugin = startNodePlugin();
    },
    ready,
    async stop() {
      kubelet.close();
      for (const process of [nodePlugin, pinner]) await end(process, 'SIGTERM');
      await Promise.all([logs.pinner.close(), logs.nodePlugin.close()]);
    },
  };
}
