import { setTimeout as sleep } from 'node:timers/promises';
import type { ControllerConfig } from '../config.ts';
import { serveHttp } from '../http.ts';
import { createIdentityService } from '../identity/identity-service.ts';
import { PROBE_TIMEOUT_MS, type Readiness } from '../identity/readiness.ts';
import type { Logger } from '../logger.ts';
import { createControllerMetrics } from '../metrics.ts';
import { adapt } from '../rpc/adapter.ts';
import { ControllerService, IdentityService } from '../rpc/generated/csi.ts';
import { listen } from '../rpc/server.ts';
import { createVolumeLock } from '../rpc/volume-lock.ts';
import { runService, type Service } from '../service.ts';
import { version } from '../version.ts';
import type { VolumeListing, VolumeStore } from '../volumes/volume-store.ts';
import { createControllerService } from './controller-service.ts';

/** Runs a controller until SIGTERM or SIGINT. Throws BadConfiguration if it cannot start. */
export function runController(config: ControllerConfig): Promise<void> {
  return runService(config, startController);
}

/**
 * Starts a controller: opens the store, then the socket. Throws BadConfiguration and leaves nothing open if one of these fails;
 * a volume that cannot be read is no such failure, but is logged, at start or when the metrics that count it are next read.
 */
export async function startController(config: ControllerConfig, log: Logger): Promise<Service> {
  await using stack = new AsyncDisposableStack();
  const metrics = createControllerMetrics();
  const { volumes, readiness } = stack.adopt(await openStore(config.store), (store) => store.close());
  const { defaultNode } = config;
  const controller = createControllerService({ volumes, lock: createVolumeLock(), defaultNode });
  const identity = createIdentityService(config.driverName, readiness);

  stack.adopt(
    await listen(config.endpoint, [
      adapt(IdentityService, identity, log, metrics),
      adapt(ControllerService, controller, log, metrics),
    ]),
    (server) => server.stop(config.drainTimeoutMs),
  );
  let told: readonly string[] = [];
  const observe = async () => {
    const listing = await volumes.list().catch((): VolumeListing | undefined => undefined);
    metrics.volumesSeen(listing);
    if (listing === undefined) return;
    for (const problem of listing.damaged) {
      if (!told.includes(problem)) log.error({ problem }, 'a volume cannot be read');
    }
    told = listing.damaged;
  };
  await Promise.race([observe(), sleep(PROBE_TIMEOUT_MS, undefined, { ref: false })]);
  const http =
    config.http &&
    stack.adopt(await serveHttp(config.http, { readiness, metrics, observe }), (server) => server.close());
  log.info(
    {
      version,
      driverName: config.driverName,
      endpoint: config.endpoint,
      store: config.store,
      defaultNode,
      httpAddress: http?.address,
    },
    'serving',
  );
  const started = stack.move();
  return { httpAddress: http?.address, stop: () => started.disposeAsync() };
}

/** Where volumes are kept. */
interface OpenStore {
  readonly volumes: VolumeStore;
  readonly readiness: Readiness;
  close(): void;
}

/** Each is a module that is loaded only where it is needed. */
async function openStore(config: ControllerConfig['store']): Promise<OpenStore> {
  if (config.kind === 'directory') {
    const { openVolumeDirectory } = await import('../volumes/volume-directory.ts');
    const volumes = openVolumeDirectory(config.directory);
    return { volumes, readiness: () => volumes.list(), close() {} };
  }
  const { connect } = await import('../kubernetes/connect.ts');
  const { createKubernetesClient } = await import('../kubernetes/client.ts');
  const { BPF_VOLUMES } = await import('../volumes/volume-objects-parse.ts');
  const { createVolumeObjects } = await import('../volumes/volume-objects.ts');
  const client = createKubernetesClient(connect(config));
  const readiness: Readiness = ({ deadline, signal }) =>
    client.list(
      BPF_VOLUMES,
      { limit: 1 },
      { timeoutMs: Math.max(1, deadline - Date.now()), ...(signal && { signal }) },
    );
  return { volumes: createVolumeObjects(client), readiness, close: () => client.close() };
}
