import { setTimeout as sleep } from 'node:timers/promises';
import type { PodIdentity } from '../../../src/access/access.ts';
import type { LeaseKey } from '../../../src/kubernetes/lease.ts';
import { createLogger } from '../../../src/logger.ts';
import { openClusterPolicy } from '../../../src/node/cluster-policy.ts';
import { createNodeMetrics } from '../../../src/node/metrics.ts';
import { publish } from '../../../src/node/publish.ts';
import type { PublishParts } from '../../../src/node/publish-parts.ts';
import { createPublished } from '../../../src/node/published.ts';
import type { Pinner } from '../../../src/pinner/pinner.ts';
import { publishRequest } from '../../node-plugin/harness.ts';

/** A pod of a simulated node, with the token that the kubelet sends. */
export interface SimulatedPod {
  readonly identity: PodIdentity;
  readonly token: string;
}

/** The part of a node plugin that asks the API server, and the kubelet that repeats the publish of each volume. */
export interface SimulatedNode {
  /** Resolves when everything watched was listed. */
  readonly synced: Promise<void>;
  /** Looks at each pod within `firstSeconds` for the first time, and then every 60 to 90 s. Resolves after the first look at each. */
  look(firstSeconds: number): Promise<void>;
  close(): Promise<void>;
}

export interface SimulatedNodeOptions {
  readonly name: string;
  readonly kubeconfig: string;
  readonly driverName: string;
  readonly accessLease: LeaseKey;
  readonly pods: readonly SimulatedPod[];
  /** What each pod wants, as in its manifest. */
  readonly maps: string;
  readonly pinner: Pinner;
  /** A pod that runs got less than it wants. */
  refused(pod: PodIdentity): void;
  failed(error: unknown): void;
}

/** The kubelet repeats its requests after that, at random. */
const REPEAT_SECONDS = [60, 90] as const;
const LOOK_TIMEOUT_MS = 60_000;

const metrics = createNodeMetrics();
const log = createLogger('error');

/** Starts at once, with the code of the node plugin; only gRPC to the kubelet is left out. */
export function startSimulatedNode(options: SimulatedNodeOptions): SimulatedNode {
  const { name: nodeId, kubeconfig, driverName, accessLease, pinner } = options;
  const names = { driverName, accessLease, nodeId, kept: async () => [] };
  const opened = openClusterPolicy({ kind: 'cluster', kubeconfig }, names, log, metrics);
  const parts: PublishParts = {
    nodeId,
    policy: opened.policy,
    events: opened.events,
    published: createPublished(),
    pinner,
    metrics,
    denials: { record: (pod, refused) => void (refused.length > 0 && options.refused(pod)) },
    audit: { published() {}, refused() {}, refusedDelegation() {} },
  };
  const closing = new AbortController();

  async function lookAt(pod: SimulatedPod): Promise<void> {
    const request = requestOf(pod, options);
    const signal = AbortSignal.any([closing.signal, AbortSignal.timeout(LOOK_TIMEOUT_MS)]);
    try {
      await publish(request, request, parts, { signal, deadline: Date.now() + LOOK_TIMEOUT_MS, note() {}, quiet() {} });
    } catch (error) {
      if (!closing.signal.aborted) options.failed(error);
    }
  }

  async function repeat(pod: SimulatedPod): Promise<void> {
    const [min, max] = REPEAT_SECONDS;
    while (!closing.signal.aborted) {
      await pause(min + Math.random() * (max - min), closing.signal);
      if (!closing.signal.aborted) await lookAt(pod);
    }
  }

  return {
    synced: opened.synced,
    async look(firstSeconds) {
      const first = async (pod: SimulatedPod) => {
        await pause(Math.random() * firstSeconds, closing.signal);
        await lookAt(pod);
        void repeat(pod);
      };
      await Promise.all(options.pods.map(first));
    },
    close() {
      closing.abort();
      return opened.close();
    },
  };
}

function requestOf({ identity, token }: SimulatedPod, { name, driverName, maps }: SimulatedNodeOptions) {
  const { namespace, serviceAccount, podName, podUid } = identity;
  return publishRequest((request) => {
    request.volumeId = `csi-${podUid}`;
    request.targetPath = `/var/lib/kubelet/pods/${podUid}/volumes/kubernetes.io~csi/${name}/mount`;
    request.secrets = { 'csi.storage.k8s.io/serviceAccount.tokens': JSON.stringify({ [driverName]: { token } }) };
    request.volumeContext = {
      maps,
      'csi.storage.k8s.io/ephemeral': 'true',
      'csi.storage.k8s.io/pod.namespace': namespace,
      'csi.storage.k8s.io/serviceAccount.name': serviceAccount,
      'csi.storage.k8s.io/pod.name': podName,
      'csi.storage.k8s.io/pod.uid': podUid,
    };
  });
}

function pause(seconds: number, signal: AbortSignal): Promise<void> {
  return sleep(seconds * 1000, undefined, { signal }).catch(() => undefined);
}
