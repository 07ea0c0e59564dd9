import { setTimeout as sleep } from 'node:timers/promises';
import { openClusterStore } from '../../../src/controller/cluster-store.ts';
import { createControllerMetrics } from '../../../src/controller/metrics.ts';
import type { LeaseKey } from '../../../src/kubernetes/lease.ts';
import { createLogger } from '../../../src/logger.ts';
import type { ApiServer } from '../../apiserver/api-server.ts';
import { AUDIENCE } from '../../apiserver/pods.ts';
import { eventually } from '../../cluster/eventually.ts';

export const LEASE: LeaseKey = { namespace: 'default', name: 'csi-driver-bpffs-access' };

/** Nodes keep no answer of the first minute after a change of grants. */
const SETTLED_MS = 70_000;

/** Starts what the controller does with the API server. `settled` resolves when nodes keep answers. */
export async function startController(api: ApiServer): Promise<AsyncDisposable & { settled(): Promise<void> }> {
  const config = { kind: 'cluster', kubeconfig: api.kubeconfig } as const;
  const names = { driverName: AUDIENCE, accessLease: LEASE };
  const store = openClusterStore(config, names, createLogger('error'), createControllerMetrics());
  await store.synced();
  await eventually('the controller has told of the grants', 30, async () => {
    return await api.kubectl(['get', 'lease', LEASE.name, `--namespace=${LEASE.namespace}`, '--output=name']);
  });
  const told = performance.now();
  return {
    settled: () => sleep(Math.max(0, told + SETTLED_MS - performance.now())),
    [Symbol.asyncDispose]: async () => store.close(),
  };
}
