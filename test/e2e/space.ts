import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { eventually } from '../cluster/eventually.ts';
import { saveEvidence } from './evidence.ts';
import { sortEntries } from './node-maps.ts';
import { cluster } from './running.ts';

/** A namespace for some tests, and operations in it. */
export interface Space {
  readonly name: string;
  /** Applies objects, by default to this namespace. They are deleted with it after the tests. */
  apply(...objects: readonly object[]): Promise<void>;
  /** Applies pods and waits until they are ready. Throws with their events after a minute. */
  start(...pods: readonly Pod[]): Promise<void>;
  /** Waits until pods, existing or to come, are ready. Throws as `start` does. */
  ready(...pods: readonly string[]): Promise<void>;
  /** Deletes pods and waits until they and their volumes are gone. `--all`: all of them. */
  stop(...pods: readonly string[]): Promise<void>;
  /** Runs a command in the container `main` of a pod, or in another: `pod/container`. Throws its output if it fails. */
  exec(pod: string, ...command: readonly string[]): Promise<string>;
  /** The entries of a map in ascending order, as the pod reads it: `1=10 7=42`. Throws as `exec` does. */
  read(pod: string, path: string): Promise<string>;
  /** Waits until `kubectl describe` of an object, which includes its events, matches, and returns the text. */
  described(object: string, text: RegExp, seconds?: number): Promise<string>;
  /** kubectl in this namespace. */
  kubectl(...args: readonly string[]): Promise<string>;
}

/** As the builders in pods.ts make it. */
export interface Pod {
  readonly metadata: { readonly name: string };
}

interface KubernetesObject {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

/** Cluster-scoped kinds that tests create. */
const GLOBAL = new Set([
  'BpfDelegation',
  'BpfMap',
  'ClusterRole',
  'ClusterRoleBinding',
  'Namespace',
  'PersistentVolume',
  'StorageClass',
]);

/** A namespace, created before the tests of the calling file or suite, and deleted with everything in it afterwards. */
export function useSpace(labels: Readonly<Record<string, string>> = {}): Space {
  const name = `e2e-${randomBytes(3).toString('hex')}`;
  const space = createSpace(name);
  before(async () => {
    await cluster.apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } }]);
    // What every pod needs besides its volume of maps.
    await eventually('the namespace is complete', 20, () =>
      space.kubectl('get', 'serviceaccount/default', 'configmap/kube-root-ca.crt'),
    );
  });
  after(() => space.remove());
  return space;
}

function createSpace(name: string): Space & { remove(): Promise<void> } {
  const globals = new Set<string>();
  const kubectl = (...args: readonly string[]) => cluster.kubectl(`--namespace=${name}`, ...args);
  const ready = async (...pods: readonly string[]) => {
    const objects = pods.map((pod) => `pod/${pod}`);
    try {
      await kubectl('wait', '--for=create', '--timeout=60s', ...objects);
      await kubectl('wait', '--for=condition=Ready', '--timeout=60s', ...objects);
    } catch (error) {
      throw new Error(`not ready:\n${await kubectl('describe', '--show-events', ...objects)}`, { cause: error });
    }
  };
  const apply = async (...objects: readonly object[]) => {
    const placed = (objects as readonly KubernetesObject[]).map((object) => {
      if (!GLOBAL.has(object.kind)) return { ...object, metadata: { namespace: name, ...object.metadata } };
      globals.add(`${object.kind}/${object.metadata.name}`);
      return object;
    });
    await cluster.apply(placed);
  };
  const exec = (pod: string, ...command: readonly string[]) => {
    const [podName = '', container = 'main'] = pod.split('/');
    return kubectl('exec', podName, `--container=${container}`, '--', ...command);
  };
  return {
    name,
    apply,
    ready,
    kubectl,
    async start(...pods) {
      await apply(...pods);
      await ready(...pods.map(({ metadata }) => metadata.name));
    },
    async stop(...pods) {
      await kubectl('delete', 'pod', '--timeout=300s', ...pods);
      await unmounted();
    },
    exec,
    read: async (pod, path) => sortEntries(await exec(pod, 'map', 'read', path)),
    described: (object, text, seconds = 30) =>
      eventually(`${object} is described with ${text}`, seconds, async () => {
        const description = await kubectl('describe', object);
        if (text.test(description)) return description;
        throw new Error(description);
      }),
    async remove() {
      await cluster.kubectl('delete', 'namespace', name, '--timeout=90s');
      if (globals.size > 0) await cluster.kubectl('delete', '--ignore-not-found', ...globals);
      await unmounted();
    },
  };
}

/** Waits until the kubelet is done: an object may be gone earlier, and the kubelet waits up to two minutes between attempts. */
async function unmounted(): Promise<void> {
  try {
    await eventually('no volume is left of a pod that is gone', 150, async () => {
      assert.deepEqual(await orphans(), []);
      return true;
    });
  } catch (error) {
    throw new Error(`see ${await saveEvidence(cluster, 'left behind')}`, { cause: error });
  }
}

/** The driver's mounts, and volume directories, of pods that no longer exist. */
async function orphans(): Promise<readonly string[]> {
  const mounts = await cluster.run('findmnt', '--list', '--noheadings', '--output=TARGET,SOURCE');
  const ofDriver = mounts.split('\n').filter((line) => /\/pods\/.* csi-bpffs/.test(line));
  const pods = join(cluster.kubeletDirectory, 'pods');
  const volumes = ['-mindepth', '4', '-maxdepth', '4', '-path', '*/volumes/kubernetes.io~csi/*'];
  const directories = (await cluster.run('find', pods, ...volumes)).split('\n').filter(Boolean);
  const uids = await cluster.kubectl('get', 'pods', '--all-namespaces', '--output=jsonpath={.items[*].metadata.uid}');
  return [...ofDriver, ...directories].filter((line) => !uids.split(' ').some((uid) => line.includes(`/pods/${uid}/`)));
}
