import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { eventually } from '../cluster/eventually.ts';
import { saveEvidence } from './evidence.ts';
import { sortEntries } from './node-maps.ts';
import { cluster } from './running.ts';

/** A namespace for some tests, and what they do in it. */
export interface Space {
  readonly name: string;
  /** Applies objects: what lives in namespaces in this one, unless it says another. All of it goes with the tests. */
  apply(...objects: readonly object[]): Promise<void>;
  /** Applies pods and waits until they are ready. Throws with their events if they are not within a minute. */
  start(...pods: readonly Pod[]): Promise<void>;
  /** Waits until pods that are there, or will be, are ready, and throws as `start` does. */
  ready(...pods: readonly string[]): Promise<void>;
  /** Deletes pods and waits until they are gone, with their volumes. `--all`: all of them. */
  stop(...pods: readonly string[]): Promise<void>;
  /** Runs a command in the container `main` of a pod, or in another: `pod/container`. Throws with what it says if it fails. */
  exec(pod: string, ...command: readonly string[]): Promise<string>;
  /** The entries of a map as the pod reads it, in their order: `1=10 7=42`. Throws as `exec` does. */
  read(pod: string, path: string): Promise<string>;
  /** Waits until `kubectl describe` of an object, its events included, matches, and gives the text. */
  described(object: string, text: RegExp, seconds?: number): Promise<string>;
  /** kubectl in this namespace. */
  kubectl(...args: readonly string[]): Promise<string>;
}

/** As builders make it. */
export interface Pod {
  readonly metadata: { readonly name: string };
}

interface KubernetesObject {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

/** What lives in no namespace, of the kinds that tests make. */
const GLOBAL = new Set([
  'BpfMap',
  'ClusterRole',
  'ClusterRoleBinding',
  'Namespace',
  'PersistentVolume',
  'StorageClass',
]);

/** A namespace, made before the tests of the file or the suite that calls this, and deleted after them with all in it. */
export function useSpace(labels: Readonly<Record<string, string>> = {}): Space {
  const name = `e2e-${randomBytes(3).toString('hex')}`;
  const space = createSpace(name);
  before(async () => {
    await cluster.apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } }]);
    // What a pod needs, if not for its volume of maps.
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

/** An object may be gone before the kubelet has done with it, and it waits two minutes at most between two attempts. */
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

/** Mounts of the driver, and directories for volumes, that belong to a pod which is not there any more. */
async function orphans(): Promise<readonly string[]> {
  const mounts = await cluster.run('findmnt', '--list', '--noheadings', '--output=TARGET,SOURCE');
  const ofDriver = mounts.split('\n').filter((line) => /\/pods\/.* csi-bpffs/.test(line));
  const pods = join(cluster.kubeletDirectory, 'pods');
  const volumes = ['-mindepth', '4', '-maxdepth', '4', '-path', '*/volumes/kubernetes.io~csi/*'];
  const directories = (await cluster.run('find', pods, ...volumes)).split('\n').filter(Boolean);
  const uids = await cluster.kubectl('get', 'pods', '--all-namespaces', '--output=jsonpath={.items[*].metadata.uid}');
  return [...ofDriver, ...directories].filter((line) => !uids.split(' ').some((uid) => line.includes(`/pods/${uid}/`)));
}
