import { setTimeout as sleep } from 'node:timers/promises';
import { unavailable } from '../errors.ts';
import { createIdentityService } from '../identity/identity-service.ts';
import { serveInspection } from '../inspection/serve-inspection.ts';
import type { Logger } from '../logger.ts';
import { limitPinner } from '../pinner/limited-pinner.ts';
import { createPinner } from '../pinner/pinner.ts';
import { serveHttp } from '../process/http.ts';
import { createLimiter } from '../process/limiter.ts';
import { PROBE_TIMEOUT_MS, type Readiness } from '../process/readiness.ts';
import { runService, type Service } from '../process/service.ts';
import { adapt } from '../rpc/adapter.ts';
import { IdentityService, NodeService } from '../rpc/csi.ts';
import { createLock } from '../rpc/lock.ts';
import { PinnerService } from '../rpc/pinner.ts';
import { RegistrationService } from '../rpc/registration.ts';
import { listen, type RpcServer } from '../rpc/server.ts';
import { prepare } from '../rpc/service.ts';
import { version } from '../version.ts';
import { createAudit } from './audit.ts';
import type { NodeConfig } from './config.ts';
import { createDenials } from './denials.ts';
import { createInspection, INSPECTION_CALLS } from './inspection/inspection.ts';
import { createMapMemory } from './inspection/map-memory.ts';
import { createNodeMetrics, type NodeMetrics } from './metrics.ts';
import { createNodeService } from './node-service.ts';
import { tellOutages } from './pinner-outage.ts';
import type { OpenPolicy } from './policy.ts';
import { createPublished } from './published.ts';
import { type Registration, startRegistration } from './registration.ts';
import { startReleasing } from './release-volumes.ts';
import type { SourceResolverParts } from './source-resolver.ts';

/** About how long a deleted volume's maps stay in this node's memory. */
const RELEASE_INTERVAL_MS = 10_000;

/** Timeout of the pinner's list of kept volumes. */
const KEPT_TIMEOUT_MS = 5000;

/** How long the kubelet's registration waits for the API server's first answers. */
const SYNC_TIMEOUT_MS = 2000;

/** A running node plugin. */
export interface NodePlugin extends Service {
  /** As bound; undefined: nowhere. */
  readonly inspectionAddress: string | undefined;
}

/** Runs a node plugin until SIGTERM or SIGINT. Throws BadConfiguration if it cannot start. `root`: the installation directory. */
export function runNodePlugin(config: NodeConfig, root: string): Promise<void> {
  return runService(config, (checked, log) => startNodePlugin(checked, root, log));
}

/**
 * Starts a node plugin: opens the policy, then the sockets, the kubelet's registration last. Throws BadConfiguration and leaves nothing
 * open if one of these fails; the pinner may be down. On stop it deregisters from the kubelet first.
 */
export async function startNodePlugin(config: NodeConfig, root: string, log: Logger): Promise<NodePlugin> {
  await using stack = new AsyncDisposableStack();
  const started = new Date();
  const metrics = createNodeMetrics();
  const pinner = stack.adopt(createPinner(config.pinnerEndpoint), (client) => client.close());
  const kept = async () => (await pinner.listKeptVolumes({ deadline: Date.now() + KEPT_TIMEOUT_MS })).volumeIds;
  const opened = stack.adopt(await openPolicy(config, kept, log, metrics), (policy) => policy.close());
  const { policy, events } = opened;
  if (policy.volumes !== undefined) {
    const releasing = startReleasing({ volumes: policy.volumes, pinner, log }, RELEASE_INTERVAL_MS);
    stack.defer(() => releasing.stop());
  }
  const published = createPublished();
  const denials = createDenials();
  const node = createNodeService({
    nodeId: config.nodeId,
    policy,
    events,
    published,
    denials,
    audit: createAudit({ nodeId: config.nodeId, log }),
    pinner: limitPinner(pinner, config.maxCalls),
    calls: createLimiter(config.maxCalls + config.maxQueuedCalls, 0),
    lock: createLock(),
    metrics,
  });
  const getNode = tellOutages(pinner, opened.nodeEvents);
  // The pinner first, each time: what else is wrong must not hide its outage.
  const readiness: Readiness = async (limits) => {
    await getNode(limits);
    opened.requireReady();
  };
  const identity = createIdentityService(config.driverName, readiness);
  const servers: Pick<RpcServer, 'requireReachable'>[] = [];
  const health = () => {
    for (const server of servers) server.requireReachable();
  };
  const adopt = <S extends Registration | RpcServer>(server: S): S => {
    servers.push(server);
    return stack.adopt(server, (served) => served.stop(config.drainTimeoutMs));
  };

  const services = [adapt(IdentityService, identity, log, metrics), adapt(NodeService, node, log, metrics)];
  adopt(await listen(config.endpoint, services, { log }));
  const inspectedPinner = limitPinner(pinner, INSPECTION_CALLS);
  const updateMapMemory = createMapMemory({ pinner: inspectedPinner, published }, metrics);
  const observe = async () => {
    opened.updateMetrics();
    try {
      const limits = { deadline: Date.now() + PROBE_TIMEOUT_MS };
      const [{ volumes }, budget, node] = await Promise.all([
        pinner.listVolumes(limits),
        pinner.getBudget(limits),
        pinner.getNode(limits),
      ]);
      metrics.pinnerSeen({ volumes: volumes.length, budget, node });
    } catch {
      metrics.pinnerSeen(undefined);
    }
    await updateMapMemory();
  };
  let registration: Registration | undefined;
  const requireRegistered = () => {
    if (config.registrationSocket === undefined) return;
    if (registration === undefined) throw unavailable('the registration socket is not served yet');
    registration.requireRegistered();
  };
  // Not part of CSI's Probe: the kubelet probes no driver before it has registered it.
  const registeredAndReady: Readiness = async (limits) => {
    await readiness(limits);
    requireRegistered();
  };
  const http =
    config.http &&
    stack.adopt(await serveHttp(config.http, { health, readiness: registeredAndReady, metrics, observe }), (server) =>
      server.close(),
    );
  const inspection = createInspection({
    nodeId: config.nodeId,
    started,
    opened,
    policy,
    published,
    denials,
    pinner: inspectedPinner,
    requireRegistered: config.registrationSocket === undefined ? undefined : requireRegistered,
    seccompProfile: config.seccompProfile,
    root,
  });
  const inspected =
    config.inspection && stack.adopt(await serveInspection(config.inspection, inspection), (server) => server.close());
  if (config.registrationSocket !== undefined) {
    // Spares the first pods an UNAVAILABLE.
    await Promise.race([opened.synced, sleep(SYNC_TIMEOUT_MS, undefined, { ref: false })]);
    const { driverName, kubeletEndpoint, registrationSocket: socket } = config;
    registration = adopt(await startRegistration({ driverName, endpoint: kubeletEndpoint, socket, log, metrics }));
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
      inspectionAddress: inspected?.address,
      policy: config.policy,
    },
    'serving',
  );
  void prepare(RegistrationService, IdentityService, NodeService, PinnerService);
  const serving = stack.move();
  return {
    httpAddress: http?.address,
    inspectionAddress: inspected?.address,
    stop: () => serving.disposeAsync(),
  };
}

/** Loads only the module that the configured policy needs. */
async function openPolicy(
  { policy, driverName, nodeId, accessLease }: NodeConfig,
  kept: SourceResolverParts['kept'],
  log: Logger,
  metrics: NodeMetrics,
): Promise<OpenPolicy> {
  if (policy.kind === 'files') {
    const { openFilePolicy } = await import('./file-policy.ts');
    return openFilePolicy(policy, { nodeId, kept }, log, metrics);
  }
  const { openClusterPolicy } = await import('./cluster-policy.ts');
  return openClusterPolicy(policy, { driverName, nodeId, kept, accessLease }, log, metrics);
}
