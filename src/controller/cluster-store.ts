import { hostname } from 'node:os';
import { createKubernetesClient } from '../kubernetes/client.ts';
import { type ClusterConfig, connect } from '../kubernetes/connect.ts';
import { createEventRecorder } from '../kubernetes/event-recorder.ts';
import type { Logger } from '../logger.ts';
import { createVolumeObjects } from '../volumes/volume-objects.ts';
import { findOwner } from './find-owner.ts';
import type { ControllerMetrics } from './metrics.ts';
import type { OpenStore } from './open-store.ts';
import { tellProblems } from './problem-events.ts';
import { followUnusableMaps } from './unusable-maps.ts';
import { keepVolumes } from './volume-keeper.ts';

/** The volumes of a cluster. It also watches BpfMaps and PersistentVolumes, and reports objects that cannot be used. */
export function openClusterStore(
  config: ClusterConfig,
  driverName: string,
  log: Logger,
  metrics: ControllerMetrics,
): OpenStore {
  const client = createKubernetesClient(connect(config));
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
  return {
    volumes,
    findOwner: (claim, volumeName) => findOwner(client, claim, volumeName),
    // Probes and scrapes use only the cache: they may come at any rate, to every replica.
    list: keeper.list,
    readiness: keeper.list,
    synced: keeper.synced,
    observe() {
      const staleness = { ...keeper.staleness(), bpfmaps: maps.staleness() };
      for (const [resource, seconds] of Object.entries(staleness)) metrics.watchSeen(resource, seconds);
    },
    async close() {
      close();
      maps.close();
      keeper.close();
      // Without waiting for queued events: the other replicas write them, and so does the next process.
      await recorder.close(0);
      client.close();
    },
  };
}
