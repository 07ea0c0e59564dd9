import { setTimeout as sleep } from 'node:timers/promises';
import type { LeaseKey } from '../../../src/kubernetes/lease.ts';
import type { Pinner } from '../../../src/pinner/pinner.ts';
import type { ApiServer } from '../../apiserver/api-server.ts';
import { AUDIENCE } from '../../apiserver/pods.ts';
import { eventually } from '../../cluster/eventually.ts';
import { cpuSeconds, residentMebibytes } from '../process-usage.ts';
import { parseRequests, type Requests, requestsBetween } from './api-requests.ts';
import { MAPS, NAMESPACE, nodeName, WITHDRAWN } from './fleet.ts';
import { type SimulatedPod, startSimulatedNode } from './simulated-node.ts';

/** What something cost the API server. */
export interface Cost {
  readonly seconds: number;
  readonly requests: Requests;
  readonly cpuSeconds: number;
}

export interface Measured {
  readonly nodes: number;
  /** All nodes start at once. */
  readonly start: Cost;
  /** Each pod is looked at for the first time. */
  readonly firstLooks: Cost;
  readonly steady: Cost;
  /** Resident memory of the API server at the end. */
  readonly mebibytes: number;
  /** A grant is withdrawn, by which a pod of each node loses a map. Undefined: not measured. */
  readonly withdrawal: Withdrawal | undefined;
  /** Looks that failed. */
  readonly failures: number;
}

export interface Withdrawal {
  readonly cost: Cost;
  /** Seconds until each node knew, from the first to the last. */
  readonly known: readonly number[];
}

export interface MeasureOptions {
  readonly api: ApiServer;
  readonly lease: LeaseKey;
  readonly pinner: Pinner;
  /** The first looks come within this time; the kubelet takes up to 90 s. */
  readonly firstSeconds: number;
  readonly steadySeconds: number;
  readonly withdraws: boolean;
}

/** The kubelet looks within 90 s; the rest is for the controller and the API server. */
const WITHDRAWAL_SECONDS = 130;
/** Events are sent after the look. */
const LAST_EVENTS_MS = 2000;

/** Starts a node for each of `podsByNode`, measures, and ends them. */
export async function measure(
  podsByNode: readonly (readonly SimulatedPod[])[],
  options: MeasureOptions,
): Promise<Measured> {
  const { api, lease, pinner } = options;
  const known = new Map<string, number>();
  let failures = 0;
  let withdrawn = Number.NaN;
  const cost = async (work: () => Promise<unknown>): Promise<Cost> => {
    const moment = async () => [await requestsSoFar(api), await cpuSeconds(api.pid()), performance.now()] as const;
    const [requests, cpu, started] = await moment();
    await work();
    const [requestsNow, cpuNow, ended] = await moment();
    return {
      seconds: (ended - started) / 1000,
      requests: requestsBetween(requests, requestsNow),
      cpuSeconds: cpuNow - cpu,
    };
  };
  const start = () =>
    podsByNode.map((pods, node) =>
      startSimulatedNode({
        name: nodeName(node),
        kubeconfig: api.kubeconfig,
        driverName: AUDIENCE,
        accessLease: lease,
        pods,
        maps: MAPS.join(', '),
        pinner,
        refused({ podName }) {
          if (!known.has(podName)) known.set(podName, (performance.now() - withdrawn) / 1000);
        },
        failed(error) {
          if (failures === 0) process.stderr.write(`a look failed: ${error}\n`);
          failures += 1;
        },
      }),
    );
  let nodes: ReturnType<typeof start> = [];
  const withdraw = async (): Promise<Withdrawal> => {
    const spent = await cost(async () => {
      await api.kubectl(['delete', WITHDRAWN.resource, WITHDRAWN.name, `--namespace=${NAMESPACE}`]);
      withdrawn = performance.now();
      while (known.size < nodes.length && performance.now() - withdrawn < WITHDRAWAL_SECONDS * 1000) await sleep(100);
      if (known.size < nodes.length) throw new Error(`${nodes.length - known.size} nodes do not know of a withdrawal`);
      await sleep(LAST_EVENTS_MS);
    });
    return { cost: spent, known: [...known.values()].sort((a, b) => a - b) };
  };
  try {
    const before = await requestsSoFar(api);
    const burst = await cost(async () => {
      nodes = start();
      await Promise.all(nodes.map(({ synced }) => synced));
      // A watch begins after its list.
      await eventually('each list is followed by a watch', 60, async () => {
        const { lists, watches } = requestsBetween(before, await requestsSoFar(api));
        return watches >= lists;
      });
    });
    const firstLooks = await cost(() => Promise.all(nodes.map((node) => node.look(options.firstSeconds))));
    const steady = await cost(() => sleep(options.steadySeconds * 1000));
    const mebibytes = await residentMebibytes(api.pid());
    const withdrawal = options.withdraws ? await withdraw() : undefined;
    return { nodes: nodes.length, start: burst, firstLooks, steady, mebibytes, withdrawal, failures };
  } finally {
    await Promise.all(nodes.map((node) => node.close()));
  }
}

async function requestsSoFar(api: ApiServer): Promise<Requests> {
  return parseRequests(await api.kubectl(['get', '--raw=/metrics']));
}
