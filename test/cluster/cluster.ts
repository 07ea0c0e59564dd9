import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { execa } from 'execa';
import { type Component, createComponent } from './component.ts';
import { COMPONENTS, type ComponentName, programs, type Run } from './components.ts';
import { type KubeletConfiguration, writeConfig } from './config.ts';
import { eventually } from './eventually.ts';
import { BIN, NODE_PATH, type Node, openNode, startNode } from './node.ts';
import { makePki, PKI } from './pki.ts';
import { createStockImages } from './stock-images.ts';

/** Differences from the default cluster. */
export interface ClusterOptions {
  /** Whether it continues when this process ends. Default: it ends with it, however that ends. */
  readonly outlivesCaller?: boolean;
  /** Fields for the kubelet's configuration: { syncFrequency: '5s' }. */
  readonly kubelet?: KubeletConfiguration;
}

/** A running cluster of one node. Its state is in its directory and in the kernel, so several processes can open it. */
export interface Cluster {
  readonly node: Node;
  /** Its path on the node. `node.path` turns it into a path for this process. */
  readonly kubeletDirectory: '/var/lib/kubelet';
  readonly components: Readonly<Record<ComponentName, Component>>;
  /** Runs a command on the node as root and returns its output. Throws if it fails. */
  readonly run: Run;
  /** Runs kubectl as the administrator, with this process's files, and returns its output. Throws if it fails. */
  kubectl(...args: string[]): Promise<string>;
  /** The lines that such a kubectl prints, as they come, until the signal: of `get --watch`. Throws if it fails, or at the signal. */
  follow(signal: AbortSignal, ...args: string[]): AsyncIterable<string>;
  /** `kubectl apply` of YAML, or of objects. */
  apply(manifest: string | readonly object[]): Promise<void>;
  /** Imports the images of an OCI archive on the node. */
  importImage(file: string): Promise<void>;
  /** Installs a profile for `localhostProfile: <name>`. */
  addSeccompProfile(name: string, profile: object): Promise<void>;
  /** Kills every process at once, as if the machine lost power. The directory stays. */
  stop(): Promise<void>;
}

/**
 * Starts a cluster with all its state in a directory, and waits until it can run pods. In the directory of a stopped cluster it
 * continues with that state, as after a reboot. Needs root and what build.sh builds.
 */
export async function startCluster(directory: string, options: ClusterOptions = {}): Promise<Cluster> {
  await mkdir(directory, { recursive: true });
  const node = await startNode(resolve(directory), options.outlivesCaller ?? false);
  const cluster = createCluster(node);
  try {
    await makePki(join(node.directory, 'cluster', 'pki'));
    await writeConfig(join(node.directory, 'cluster', 'config'), node.cgroup, options.kubelet ?? {});
    await startComponents(cluster);
    return cluster;
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}

/** The running cluster in this directory, whichever process started it. */
export async function openCluster(directory: string): Promise<Cluster> {
  return createCluster(await openNode(resolve(directory)));
}

async function startComponents({ components, importImage, node }: Cluster): Promise<void> {
  const first: readonly ComponentName[] = ['etcd', 'containerd', 'kube-apiserver'];
  const rest = COMPONENTS.filter((name) => !first.includes(name));
  const launch = (names: readonly ComponentName[]) => Promise.all(names.map((name) => components[name].launch()));
  const ready = (names: readonly ComponentName[]) => Promise.all(names.map((name) => components[name].ready()));
  await launch(first);
  const images = await createStockImages(node.directory);
  await components.containerd.ready();
  for (const image of images) await importImage(image);
  await ready(first);
  await launch(rest);
  await ready(rest);
}

function createCluster(node: Node): Cluster {
  const run: Run = (command, ...args) => execute(node.enter([command, ...args]), { env: RUN_ENVIRONMENT });
  const program = programs(run);
  const components = Object.fromEntries(COMPONENTS.map((name) => [name, createComponent(node, name, program[name])]));
  const kubeconfig = join(node.directory, 'cluster', 'pki', 'admin.kubeconfig');
  const enterKubectl = (args: readonly string[]) => node.enter([join(BIN, 'kubectl'), ...args], 'network');
  const env = { PATH: process.env.PATH ?? '', ...kubectlEnvironment(kubeconfig, join(node.directory, 'state')) };
  const kubectl = (args: readonly string[], input?: string) =>
    execute(enterKubectl(args), { env, ...(input !== undefined && { input }) });
  return {
    node,
    kubeletDirectory: '/var/lib/kubelet',
    components: components as Record<ComponentName, Component>,
    run,
    kubectl: (...args) => kubectl(args),
    follow(signal, ...args) {
      const [command, ...rest] = enterKubectl(args);
      return execa(command, rest, { env, extendEnv: false, cancelSignal: signal, buffer: false }).iterable();
    },
    async apply(manifest) {
      const list = { apiVersion: 'v1', kind: 'List', items: manifest };
      await kubectl(['apply', '--filename=-'], typeof manifest === 'string' ? manifest : JSON.stringify(list));
    },
    async importImage(file) {
      // Read in this process, because the node may not see the file.
      await execute(node.enter(['ctr', 'images', 'import', '-']), { env: RUN_ENVIRONMENT, inputFile: file });
      await eventually('the kubelet can use all images', 10, async () => {
        const [, ...images] = (await run('ctr', 'images', 'list')).split('\n');
        return images.every((line) => line.includes('io.cri-containerd.image=managed'));
      });
    },
    async addSeccompProfile(name, profile) {
      await writeFile(join(node.directory, 'var/lib/kubelet/seccomp', name), JSON.stringify(profile));
    },
    async stop() {
      await node.stop();
      await Promise.all(Object.values(components).map((component) => component.stop()));
    },
  };
}

const kubectlEnvironment = (kubeconfig: string, cache: string) => ({
  KUBECONFIG: kubeconfig,
  KUBECACHEDIR: cache,
  KUBERC: 'off',
});

/** Makes kubectl and ctr on the node find this cluster. */
export const RUN_ENVIRONMENT = {
  PATH: NODE_PATH,
  CONTAINERD_NAMESPACE: 'k8s.io',
  ...kubectlEnvironment(`${PKI}/admin.kubeconfig`, '/var/cache/kubectl'),
};

interface Input {
  readonly env: Readonly<Record<string, string>>;
  readonly input?: string;
  readonly inputFile?: string;
}

async function execute([command, ...args]: readonly [string, ...string[]], input: Input): Promise<string> {
  const { stdout } = await execa(command, args, { ...input, extendEnv: false });
  return stdout;
}
