import { createFileAccess, parseGrants } from '../access/grants-file.ts';
import { parseCatalog } from '../catalog/catalog-file.ts';
import type { NodeConfig } from '../config.ts';
import { serveHttp } from '../http.ts';
import { createIdentityService } from '../identity/identity-service.ts';
import { PROBE_TIMEOUT_MS } from '../identity/readiness.ts';
import { createLogger, type Logger } from '../logger.ts';
import { type ReloadedFile, reloadFile } from '../manifest/reloaded-file.ts';
import { createMetrics, type Metrics } from '../metrics.ts';
import { createPinner } from '../pinner/pinner.ts';
import { adapt } from '../rpc/adapter.ts';
import { IdentityService, NodeService } from '../rpc/generated/csi.ts';
import { RegistrationService } from '../rpc/generated/registration.ts';
import { createLimiter } from '../rpc/limiter.ts';
import { listen } from '../rpc/server.ts';
import { createVolumeLock } from '../rpc/volume-lock.ts';
import { version } from '../version.ts';
import { readVolumeDirectory } from '../volumes/volume-directory.ts';
import { startReleasing } from './kept-volumes.ts';
import { createSourceResolver } from './map-source.ts';
import { createNodeService } from './node-service.ts';
import { createPublished } from './published.ts';
import { createRegistrationService } from './registration.ts';

/** How long a deleted volume's maps may stay in this node's memory, about. */
const RELEASE_INTERVAL_MS = 10_000;

/** A node plugin that serves. */
export interface NodePlugin {
  /** As bound; undefined: no HTTP is served. */
  readonly httpAddress: string | undefined;
  /** Leaves the kubelet's registry, drains the calls in work, closes everything and removes the sockets. */
  stop(): Promise<void>;
}

/** Runs a node plugin until SIGTERM or SIGINT. Throws BadConfiguration if it cannot start. */
export async function runNodePlugin(config: NodeConfig): Promise<void> {
  const log = createLogger(config.logLevel);
  // Before there is a socket: a signal must not end the process with its socket left behind.
  const signalled = new Promise<NodeJS.Signals>((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
  const plugin = await startNodePlugin(config, log);
  log.info({ signal: await signalled }, 'stopping');
  await plugin.stop();
  log.info('stopped');
  process.exit(0);
}

/**
 * Starts a node plugin: reads the files, then opens the sockets, the kubelet's registration last. Throws BadConfiguration and
 * leaves nothing open if one of these fails; a pinner that is away is no such failure.
 */
export async function startNodePlugin(config: NodeConfig, log: Logger): Promise<NodePlugin> {
  await using stack = new AsyncDisposableStack();
  const metrics = createMetrics();
  const catalog = stack.adopt(followFile('catalog', config.catalog, parseCatalog, log, metrics), (file) =>
    file.close(),
  );
  const grants = stack.adopt(followFile('grants', config.grants, parseGrants, log, metrics), (file) => file.close());
  const pinner = stack.adopt(createPinner(config.pinnerEndpoint), (client) => client.close());
  const volumes = config.volumes === undefined ? undefined : readVolumeDirectory(config.volumes);
  const lock = createVolumeLock();
  const node = createNodeService({
    nodeId: config.nodeId,
    catalog: { find: (name) => catalog.current().get(name), names: () => [...catalog.current().keys()] },
    access: createFileAccess(config.grants, grants.current),
    resolveSource: createSourceResolver(config.nodeId, volumes),
    volumes,
    published: createPublished(),
    pinner,
    limiter: createLimiter(config.maxCalls, config.maxQueuedCalls),
    lock,
    metrics,
  });
  const identity = createIdentityService(config.driverName, pinner.getNode);
  const drain = (server: { stop(timeoutMs: number): Promise<void> }) => server.stop(config.drainTimeoutMs);

  stack.adopt(
    await listen(config.endpoint, [
      adapt(IdentityService, identity, log, metrics),
      adapt(NodeService, node, log, metrics),
    ]),
    drain,
  );
  const observe = async () => {
    try {
      const { volumes } = await pinner.listVolumes({ deadline: Date.now() + PROBE_TIMEOUT_MS });
      metrics.pinnerSeen(volumes.length);
    } catch {
      metrics.pinnerSeen(undefined);
    }
  };
  const http =
    config.http &&
    stack.adopt(await serveHttp(config.http, { readiness: pinner.getNode, metrics, observe }), (server) =>
      server.close(),
    );
  if (config.registrationSocket !== undefined) {
    const registration = createRegistrationService(config.driverName, config.kubeletEndpoint, log);
    stack.adopt(
      await listen(config.registrationSocket, [adapt(RegistrationService, registration, log, metrics)]),
      drain,
    );
  }
  if (volumes !== undefined) {
    const releasing = startReleasing({ volumes, pinner, lock, log }, RELEASE_INTERVAL_MS);
    stack.defer(() => releasing.stop());
  }
  const { driverName, nodeId, endpoint, pinnerEndpoint, registrationSocket } = config;
  log.info(
    {
      version,
      driverName,
      nodeId,
      endpoint,
      pinnerEndpoint,
      registrationSocket,
      httpAddress: http?.address,
      maps: catalog.current().size,
    },
    'serving',
  );
  const started = stack.move();
  return { httpAddress: http?.address, stop: () => started.disposeAsync() };
}

function followFile<T>(
  file: 'catalog' | 'grants',
  path: string,
  parse: (text: string, path: string) => T,
  log: Logger,
  metrics: Metrics,
): ReloadedFile<T> {
  const followed = reloadFile(path, parse, (reload) => {
    metrics.fileReloaded(file, reload.ok);
    if (reload.ok) log.info({ path }, `new ${file} in use`);
    else log.error({ path, problems: reload.problems }, `bad ${file}; the one before stays in use`);
  });
  metrics.fileReloaded(file, true);
  return followed;
}
