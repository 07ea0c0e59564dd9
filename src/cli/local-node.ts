import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { CallError } from '../errors.ts';
import { createKubelet, DRIVER_NAME, type Kubelet } from './kubelet.ts';
import { createProvisioner, type Provisioner } from './provisioner.ts';

/** How to set up a local node. */
export interface LocalNodeOptions {
  /** The installation directory, with `bin/` and `dist/`. */
  readonly root: string;
  /** An existing, empty directory for everything, on a filesystem in which a bpffs can be mounted. */
  readonly directory: string;
  /** YAML with BpfMap objects; {pins} stands for the directory beneath which sources may be pinned. */
  readonly catalog: string;
  /** YAML with RBAC objects. */
  readonly grants: string;
  /** The pinner touches only volumes that the kubelet vouches for, as in a cluster: those of `LocalNode.kubelet`. */
  readonly vouched?: boolean;
}

/**
 * A pinner, a node plugin and a controller on this machine, without a cluster: the pinner as root, the others without capabilities. Their
 * logs are `pinner.log`, `node-plugin.log` and `controller.log` in the directory.
 */
export interface LocalNode {
  /** A bpffs for sources: `<pins>/<file>`. */
  readonly pins: string;
  readonly kubeletDirectory: string;
  readonly csiSocket: string;
  readonly controllerSocket: string;
  readonly pinnerSocket: string;
  /** Where the pinner keeps maps and workspaces. */
  readonly storeDirectory: string;
  /** The persistent volumes that exist, a file for each. */
  readonly volumesDirectory: string;
  readonly catalogFile: string;
  readonly grantsFile: string;
  /** Calls the node plugin as the kubelet does. */
  readonly kubelet: Kubelet;
  /** Calls the controller as external-provisioner does. */
  readonly provisioner: Provisioner;
  /** The current processes; a restart replaces them. */
  pinner(): ChildProcess;
  nodePlugin(): ChildProcess;
  controller(): ChildProcess;
  startPinner(): void;
  startNodePlugin(): void;
  startController(): void;
  /** Waits until node plugin and controller are ready. Throws with their logs if a process has ended, or after ten seconds. */
  ready(): Promise<void>;
  /** Ends all processes with SIGTERM and waits for them. Mounts and files stay. */
  stop(): Promise<void>;
}

/** The name of a local node. */
export const NODE_NAME = 'local';

const READY_TIMEOUT_MS = 10_000;

/** Sends a signal that ends a process, and waits for its end. */
export async function end(process: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (process.exitCode !== null || process.signalCode !== null) return;
  const ended = once(process, 'exit');
  process.kill(signal);
  await ended;
}

/** Prepares the directory, mounts a bpffs for sources in it and starts all processes. Needs root. */
export async function startLocalNode(options: LocalNodeOptions): Promise<LocalNode> {
  const { root, directory } = options;
  const at = (...names: string[]) => join(directory, ...names);
  const pins = at('pins');
  const kubeletDirectory = at('kubelet');
  await chmod(directory, 0o711);
  const storeDirectory = at('store');
  const volumesDirectory = at('volumes');
  for (const path of [pins, volumesDirectory, at('run'), at('kubelet', 'pods')]) await mkdir(path, { recursive: true });
  await execa('mount', ['-t', 'bpf', '-o', 'mode=0700', 'pins', pins]);
  const catalogFile = at('catalog.yaml');
  const grantsFile = at('grants.yaml');
  await writeFile(catalogFile, options.catalog.replaceAll('{pins}', pins));
  await writeFile(grantsFile, options.grants);
  const csiSocket = at('run', 'csi.sock');
  const controllerSocket = at('run', 'controller.sock');
  const pinnerSocket = at('run', 'pinner.sock');
  const kubelet = createKubelet(csiSocket, kubeletDirectory);
  const provisioner = createProvisioner(controllerSocket);
  const logs = {
    pinner: await open(at('pinner.log'), 'a'),
    nodePlugin: await open(at('node-plugin.log'), 'a'),
    controller: await open(at('controller.log'), 'a'),
  };

  const run = (log: number, command: string, args: readonly string[]) =>
    spawn(command, args, { stdio: ['ignore', log, log] });
  const startPinner = () =>
    run(logs.pinner.fd, join(root, 'dist', 'bpffs-pinner'), [
      ...['--socket', pinnerSocket, '--peer-uid', '0', '--kubelet-dir', kubeletDirectory],
      ...['--store-dir', storeDirectory, '--pin-root', pins],
      ...(options.vouched ? ['--driver-name', DRIVER_NAME] : []),
    ]);
  const runUnprivileged = (log: number, args: readonly string[]) =>
    run(log, 'setpriv', [
      ...['--bounding-set=-all', '--inh-caps=-all', '--no-new-privs', join(root, 'bin', 'csi-driver-bpffs')],
      ...[...args, '--volumes', volumesDirectory, '--http-address', 'off'],
    ]);
  const startNodePlugin = () =>
    runUnprivileged(logs.nodePlugin.fd, [
      ...['node', '--node-id', NODE_NAME, '--endpoint', `unix://${csiSocket}`],
      ...['--pinner-endpoint', `unix://${pinnerSocket}`, '--catalog', catalogFile, '--grants', grantsFile],
      ...['--inspection-address', 'off'],
    ]);
  const startController = () =>
    runUnprivileged(logs.controller.fd, [
      ...['controller', '--endpoint', `unix://${controllerSocket}`, '--default-node', NODE_NAME],
    ]);

  let pinner = startPinner();
  let nodePlugin = startNodePlugin();
  let controller = startController();

  async function ready(): Promise<void> {
    const deadline = Date.now() + READY_TIMEOUT_MS;
    for (;;) {
      const answers = await Promise.all([kubelet, provisioner].map((client) => client.probe().catch(CallError.from)));
      if (answers.every((answer) => answer === true)) return;
      const ended = [pinner, nodePlugin, controller].some(
        ({ exitCode, signalCode }) => exitCode !== null || signalCode !== null,
      );
      if (ended || Date.now() > deadline) {
        const output = await Promise.all(
          ['pinner.log', 'node-plugin.log', 'controller.log'].map((log) => readFile(at(log), 'utf8')),
        );
        throw new Error(`the driver did not start:\n${output.join('')}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  return {
    pins,
    kubeletDirectory,
    csiSocket,
    controllerSocket,
    pinnerSocket,
    storeDirectory,
    volumesDirectory,
    catalogFile,
    grantsFile,
    kubelet,
    provisioner,
    pinner: () => pinner,
    nodePlugin: () => nodePlugin,
    controller: () => controller,
    startPinner() {
      pinner = startPinner();
    },
    startNodePlugin() {
      nodePlugin = startNodePlugin();
    },
    startController() {
      controller = startController();
    },
    ready,
    async stop() {
      for (const client of [kubelet, provisioner]) client.close();
      for (const process of [controller, nodePlugin, pinner]) await end(process, 'SIGTERM');
      await Promise.all(Object.values(logs).map((log) => log.close()));
    },
  };
}
