import { hostname } from 'node:os';
import { createKubernetesClient, type KubernetesClient } from '../kubernetes/client.ts';
import { type ClusterConfig, connect } from '../kubernetes/connect.ts';
import { createEventRecorder } from '../kubernetes/event-recorder.ts';
import type { LeaseKey } from '../kubernetes/lease.ts';
import type { Logger } from '../logger.ts';
import { createVolumeObjects } from '../volumes/volume-objects.ts';
import { publishAccess } from './access-publisher.ts';
import type { ControllerConfig } from './config.ts';
import { findOwner } from './find-owner.ts';
import { followRbac } from './followed-rbac.ts';
import type { ControllerMetrics } from './metrics.ts';
import type { OpenStore } from './open-store.ts';
import { tellProblems } from './problem-events.ts';
import { followUnusableMaps } from './unusable-maps.ts';
import { keepVolumes } from './volume-keeper.ts';

/** The volumes of a cluster. It also watches BpfMaps and PersistentVolumes, reports objects that cannot be used, and says when grants change. */
export function openClusterStore(
  config: ClusterConfig,
  { driverName, accessLease }: Pick<ControllerConfig, 'driverName' | 'accessLease'>,
  log: Logger,
  metrics: ControllerMetrics,
): OpenStore {
  const client = createKubernetesClient(connect(config), undefined, metrics.requestSent);
  const volumes = createVolumeObjects(client);
  const recorder = createEventRecorder({
    client,
    driverName,
    instance: hostname(),
    failed(error, isNew) {
      if (isNew) log.warn({ error: error.message }, 'events cannot be told');
    },
  });
  const { changed, close } = tellProblems(recorder, () => [...maps.problems(), ...keeper.problems()]);
  const maps = followUnusableMaps({ client, log, changed });
  const keeper = keepVolumes({ client, driverName, store: volumes, log, changed });
  const access = accessLease && tellAccess(client, accessLease, log);
  return {
    volumes,
    findOwner: (claim, volumeName) => findOwner(client, claim, volumeName),
    // Probes and scrapes use only the cache: they may come at any rate, to every replica.
    list: keeper.list,
    readiness: keeper.list,
    synced: keeper.synced,
    observe() {
      const staleness = { ...keeper.staleness(), bpfmaps: maps.staleness(), ...access?.staleness() };
      for (const [resource, seconds] of Object.entries(staleness)) metrics.watchSeen(resource, seconds);
    },
    async close() {
      await access?.close();
      close();
      maps.close();
      keeper.close();
      // Without waiting for queued events: the other replicas write them, and so does the next process.
      await recorder.close(0);
      client.close();
    },
  };
}

function tellAccess(client: KubernetesClient, lease: LeaseKey, log: Logger) {
  const rbac = followRbac({ client, log, changed: () => publisher.changed() });
  const publisher = publishAccess({ client, lease, rbac, log });
  return {
    staleness: rbac.staleness,
    async close() {
      await publisher.close();
      rbac.close();
    },
  };
}
