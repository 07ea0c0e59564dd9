import { createClusterAccess } from '../access/cluster-access.ts';
import { followGeneration } from '../access/followed-generation.ts';
import { createTokenVerifier } from '../access/token-verifier.ts';
import { unauthenticated } from '../errors.ts';
import { isAbsent } from '../kubernetes/api-error.ts';
import { createKubernetesClient } from '../kubernetes/client.ts';
import { type ClusterConfig, connect } from '../kubernetes/connect.ts';
import { createEventRecorder } from '../kubernetes/event-recorder.ts';
import type { LeaseKey } from '../kubernetes/lease.ts';
import { type Freshness, MAX_STALENESS_SECONDS } from '../kubernetes/reflector.ts';
import type { Logger } from '../logger.ts';
import { BPF_DELEGATIONS, noSuchDelegation, parseBpfDelegation } from '../maps/bpf-delegation.ts';
import { createBpfman } from '../maps/bpfman.ts';
import { followClusterCatalog } from '../maps/cluster-catalog.ts';
import { followVolumeObjects } from '../volumes/volume-objects-followed.ts';
import { followCsiDriver } from './csi-driver.ts';
import type { NodeMetrics } from './metrics.ts';
import { createNodeEvents } from './node-events.ts';
import { createPodEvents } from './pod-events.ts';
import type { OpenPolicy, Policy, PolicyState } from './policy.ts';
import { createSourceResolver, type SourceResolverParts } from './source-resolver.ts';

/** How long queued events may still be sent when the process ends. */
const EVENTS_TIMEOUT_MS = 2000;

interface ClusterNames {
  readonly driverName: string;
  /** In which the controller says when grants change; undefined: nobody does. */
  readonly accessLease?: LeaseKey | undefined;
}

/**
 * The policy of a cluster: BpfMaps and BpfVolumes are watched, tokens and grants are reviewed on request. BpfDelegations are read on
 * request, because few pods have one, and each reads it once. Does not wait for the API server.
 * Throws BadConfiguration when `config` cannot be used.
 */
export function openClusterPolicy(
  config: ClusterConfig,
  { driverName, nodeId, kept, accessLease }: ClusterNames & Pick<SourceResolverParts, 'nodeId' | 'kept'>,
  log: Logger,
  metrics: NodeMetrics,
): OpenPolicy {
  const client = createKubernetesClient(connect(config), undefined, metrics.requestSent);
  const failing =
    (resource: string, stays = `stays in use for ${MAX_STALENESS_SECONDS / 60} minutes`) =>
    (error: Error | undefined) => {
      if (error === undefined) log.info({ resource }, 'the API server is heard again');
      else log.warn({ resource, error: error.message }, `the API server is not heard; what is known ${stays}`);
    };
  const catalog = followClusterCatalog({
    client,
    failing: failing('bpfmaps'),
    rejected: (problem) => log.error({ problem }, 'a BpfMap cannot be used'),
  });
  const volumes = followVolumeObjects({ client, nodeName: nodeId, failing: failing('bpfvolumes') });
  const csiDriver = followCsiDriver({
    client,
    driverName,
    audience: driverName,
    failing: failing('csidrivers', 'stays in use'),
    changed({ stopping, other }) {
      for (const problem of stopping) log.error({ problem }, 'no pod gets a volume until this is mended');
      for (const problem of other) log.warn({ problem }, 'the CSIDriver object is not as the chart has it');
    },
  });
  const bpfman = createBpfman({ client, nodeName: nodeId, failing: failing('bpfman') });
  const verifier = createTokenVerifier({
    client,
    audience: driverName,
    nodeName: nodeId,
    lookedUp: (age) => metrics.answerLookedUp('token', age),
  });
  const generation =
    accessLease &&
    followGeneration({ client, lease: accessLease, failing: failing('leases', 'is asked for every 30 s') });
  const access = createClusterAccess({
    client,
    generation,
    lookedUp: (age) => metrics.answerLookedUp('access', age),
  });
  const recorder = createEventRecorder({
    client,
    driverName,
    instance: nodeId,
    failed(error, isNew) {
      if (isNew) log.warn({ error: error.message }, 'events cannot be told');
    },
  });
  const followed = [catalog, volumes, csiDriver];

  const policy: Policy = {
    catalog,
    access,
    async findDelegation(name, signal) {
      try {
        return parseBpfDelegation(await client.get(BPF_DELEGATIONS, { name }, { signal }));
      } catch (error) {
        throw isAbsent(error) ? noSuchDelegation(name) : error;
      }
    },
    resolveSource: createSourceResolver({ nodeId, volumes, kept, bpfman }),
    volumes,
    requireTrusted: csiDriver.requireTrusted,
    provesIdentity: true,
    async identify(pod, tokens, signal) {
      if (pod === undefined) {
        throw unauthenticated(
          'the kubelet did not say whose volume it is; the CSIDriver object needs podInfoOnMount: true',
        );
      }
      await verifier.verify(pod, tokens(driverName), signal);
      return pod;
    },
  };
  const watch = (resource: string, { staleness, failure }: Freshness) => ({ resource, staleness, failure });
  const state = (): PolicyState => ({
    catalog: { maps: catalog.size(), invalid: catalog.invalid() },
    watches: [
      watch('bpfmaps', catalog),
      watch('bpfvolumes', volumes),
      watch('csidrivers', csiDriver),
      ...(generation === undefined ? [] : [watch('leases', generation)]),
    ],
    csiDriver: csiDriver.staleness() === Number.POSITIVE_INFINITY ? undefined : csiDriver.problems(),
  });
  return {
    policy,
    events: createPodEvents(recorder),
    nodeEvents: createNodeEvents(recorder, nodeId),
    synced: Promise.allSettled(followed.map((one) => one.synced())).then(() => undefined),
    requireReady() {
      csiDriver.requireTrusted();
      catalog.ready();
    },
    state,
    updateMetrics() {
      const { catalog, watches } = state();
      metrics.catalogSeen(catalog);
      metrics.csiDriverSeen(csiDriver.problems());
      if (generation !== undefined) metrics.accessHeard(generation.isHeard());
      for (const { resource, staleness } of watches) metrics.watchSeen(resource, staleness());
    },
    async close() {
      await recorder.close(EVENTS_TIMEOUT_MS);
      for (const one of [...followed, bpfman]) one.close();
      generation?.close();
      client.close();
    },
  };
}
