import { setTimeout as sleep } from 'node:timers/promises';
import { createIdentityService } from '../identity/identity-service.ts';
import type { Logger } from '../logger.ts';
import { serveHttp } from '../process/http.ts';
import { PROBE_TIMEOUT_MS } from '../process/readiness.ts';
import { runService, type Service } from '../process/service.ts';
import { adapt } from '../rpc/adapter.ts';
import { ControllerService, IdentityService } from '../rpc/csi.ts';
import { createLock } from '../rpc/lock.ts';
import { listen } from '../rpc/server.ts';
import { prepare } from '../rpc/service.ts';
import { version } from '../version.ts';
import type { VolumeListing } from '../volumes/volume-store.ts';
import type { ControllerConfig } from './config.ts';
import { createControllerService } from './controller-service.ts';
import { type ControllerMetrics, createControllerMetrics } from './metrics.ts';
import type { OpenStore } from './open-store.ts';

/** Runs a controller until SIGTERM or SIGINT. Throws BadConfiguration if it cannot start. */
export function runController(config: ControllerConfig): Promise<void> {
  return runService(config, startController);
}

/**
 * Starts a controller: opens the store, then the socket. Throws BadConfiguration and leaves nothing open if one of these fails. An invalid
 * volume is no such failure: it is logged at start, or when the metrics are next read.
 */
export async function startController(config: ControllerConfig, log: Logger): Promise<Service> {
  await using stack = new AsyncDisposableStack();
  const metrics = createControllerMetrics();
  const store = stack.adopt(await openStore(config, log, metrics), (opened) => opened.close());
  const { volumes, readiness, findOwner } = store;
  const { defaultNode } = config;
  const controller = createControllerService({ volumes, lock: createLock(), defaultNode, findOwner });
  const identity = createIdentityService(config.driverName, readiness);

  const services = [adapt(IdentityService, identity, log, metrics), adapt(ControllerService, controller, log, metrics)];
  const server = stack.adopt(await listen(config.endpoint, services, { log }), (served) =>
    served.stop(config.drainTimeoutMs),
  );
  let logged: readonly string[] = [];
  const observe = async () => {
    const listing = await store.list().catch((): VolumeListing | undefined => undefined);
    metrics.volumesSeen(listing);
    store.observe();
    if (listing === undefined) return;
    for (const problem of listing.damaged) {
      if (!logged.includes(problem)) log.error({ problem }, 'a volume cannot be read');
    }
    logged = listing.damaged;
  };
  await Promise.race([store.synced().then(observe), sleep(PROBE_TIMEOUT_MS, undefined, { ref: false })]);
  const http =
    config.http &&
    stack.adopt(
      await serveHttp(config.http, { health: server.requireReachable, readiness, metrics, observe }),
      (served) => served.close(),
    );
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
  void prepare(IdentityService, ControllerService);
  const started = stack.move();
  return { httpAddress: http?.address, stop: () => started.disposeAsync() };
}

/** Loads only the module that the configured store needs. */
async function openStore(
  { store, driverName, accessLease }: ControllerConfig,
  log: Logger,
  metrics: ControllerMetrics,
): Promise<OpenStore> {
  if (store.kind === 'directory') {
    const { openVolumeDirectory } = await import('../volumes/volume-directory.ts');
    const volumes = openVolumeDirectory(store.directory);
    const { list } = volumes;
    return { volumes, findOwner: undefined, list, readiness: list, async synced() {}, observe() {}, close() {} };
  }
  const { openClusterStore } = await import('./cluster-store.ts');
  return openClusterStore(store, { driverName, accessLease }, log, metrics);
}
