import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { CallError } from '../errors.ts';
import { CLAIMS } from '../kubernetes/claim.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import { MAX_STALENESS_SECONDS, type ReflectorTiming, startReflector } from '../kubernetes/reflector.ts';
import type { Logger } from '../logger.ts';
import type { Volume } from '../volumes/volume.ts';
import { getObject, PERSISTENT_VOLUMES, setBinding } from '../volumes/volume-objects.ts';
import { followVolumeObjects } from '../volumes/volume-objects-followed.ts';
import type { VolumeListing, VolumeStore } from '../volumes/volume-store.ts';
import { bindingOf, type PersistentVolume, parsePersistentVolume } from './binding.ts';
import { problemsOf } from './damaged-volumes.ts';
import { logOutage } from './log-outage.ts';
import type { Problem } from './problem-events.ts';

/** PersistentVolumes in a page of a list: all of a cluster, other drivers' included, would take too much memory at once. */
const PAGE = 500;
/** The delay before a change is handled, together with further ones. */
const PAUSE_MS = 200;
/** Everything is checked again after this time without a change. */
const INTERVAL_MS = 60_000;
/** How long a volume may have no PersistentVolume: many times longer than external-provisioner takes to create it. */
const GRACE_MS = 10 * 60_000;

/** What the keeper depends on. */
export interface KeeperOptions {
  readonly client: KubernetesClient;
  readonly driverName: string;
  readonly store: VolumeStore;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  /** A volume or a PersistentVolume was created, changed or deleted. */
  changed?(): void;
  readonly graceMs?: number;
  readonly intervalMs?: number;
  readonly timing?: Partial<ReflectorTiming>;
}

/** A cache of all volumes, which also keeps their bindings up to date. */
export interface VolumeKeeper {
  /** Throws UNAVAILABLE before the first sync, and while the cache is too old. */
  list(): Promise<VolumeListing>;
  /** Resolves at the first sync, or when closed before. */
  synced(): Promise<void>;
  /** Of volumes that cannot be read; none before all claims are known. */
  problems(): readonly Problem[];
  /** Seconds since the last contact with the API server, by resource. */
  staleness(): Readonly<Record<string, number>>;
  close(): void;
}

/**
 * Writes to each BpfVolume which claim its PersistentVolume is bound to, and deletes volumes that can never be used: CreateVolume leaves
 * one behind when its claim is deleted before the PersistentVolume is created. A volume that ever had a PersistentVolume is never deleted
 * here, because it may be retained on purpose. Several controllers may do this at the same time.
 */
export function keepVolumes(options: KeeperOptions): VolumeKeeper {
  const { client, driverName, store, log, graceMs = GRACE_MS, intervalMs = INTERVAL_MS } = options;
  const closing = new AbortController();
  const { signal } = closing;
  let waking = new AbortController();
  const follow = (resource: string) => ({
    client,
    ...(options.timing && { timing: options.timing }),
    pageSize: PAGE,
    changed() {
      waking.abort();
      options.changed?.();
    },
    failing: logOutage(log, resource),
  });
  const volumes = followVolumeObjects(follow('bpfvolumes'));
  const persistentVolumes = startReflector({
    ...follow('persistentvolumes'),
    resource: PERSISTENT_VOLUMES,
    parse: (object) => parsePersistentVolume(object, driverName),
  });
  /** When each volume without binding and PersistentVolume was first seen. */
  let orphans: ReadonlyMap<string, number> = new Map();
  let logged: ReadonlyMap<string, string> = new Map();

  const present = () => [...persistentVolumes.current().values()].filter((one) => one !== undefined);

  async function look(): Promise<void> {
    persistentVolumes.requireFresh(MAX_STALENESS_SECONDS);
    const { volumes: all } = await volumes.list();
    const byVolume = Map.groupBy(present(), ({ volumeId }) => volumeId);
    const orphansNow = new Map<string, number>();
    const failed = new Map<string, string>();
    for (const volume of all) {
      const { id } = volume;
      const of = byVolume.get(id) ?? [];
      const isOrphan = volume.binding === undefined && of.length === 0;
      const since = orphans.get(id) ?? performance.now();
      if (isOrphan) orphansNow.set(id, since);
      try {
        await bind(volume, of);
        if (isOrphan && performance.now() - since >= graceMs) await collect(volume);
      } catch (thrown) {
        if (signal.aborted) return;
        const error = CallError.from(thrown).message;
        failed.set(id, error);
        if (logged.get(id) !== error)
          log.warn({ volumeId: id, error }, 'whose this volume is cannot be kept up to date');
      }
    }
    orphans = orphansNow;
    logged = failed;
  }

  async function bind(volume: Volume, of: readonly PersistentVolume[]): Promise<void> {
    const binding = bindingOf(volume, of);
    if (binding === undefined || isDeepStrictEqual(binding, volume.binding)) return;
    await setBinding(client, volume.id, binding);
  }

  async function collect(volume: Volume): Promise<void> {
    const { id, spec } = volume;
    if (spec.claim === undefined || (await store.isUnused?.(volume)) !== true) return;
    const claim = await getObject(client, CLAIMS, spec.claim);
    const boundTo = (claim?.spec as { readonly volumeName?: string } | undefined)?.volumeName;
    // An unbound claim may still get this volume.
    if (claim !== undefined && (boundTo === undefined || boundTo === '' || boundTo === spec.volumeName)) return;
    await store.delete(id);
    log.info({ volumeId: id, claim: spec.claim }, 'deleted a volume that no PersistentVolume ever stood for');
  }

  void (async () => {
    await Promise.all([volumes.synced(), persistentVolumes.synced()]).catch(() => undefined);
    while (!signal.aborted) {
      waking = new AbortController();
      // Errors are retried in the next round; /readyz reports them meanwhile.
      await look().catch(() => undefined);
      const woken = AbortSignal.any([signal, waking.signal]);
      await sleep(intervalMs, undefined, { signal: woken, ref: false }).catch(() => undefined);
      await sleep(PAUSE_MS, undefined, { signal, ref: false }).catch(() => undefined);
    }
  })();

  return {
    list: volumes.list,
    synced: () => volumes.synced().catch(() => undefined),
    problems: () => (persistentVolumes.isSynced ? problemsOf(volumes.damaged(), present()) : []),
    staleness: () => ({ bpfvolumes: volumes.staleness(), persistentvolumes: persistentVolumes.staleness() }),
    close() {
      closing.abort();
      volumes.close();
      persistentVolumes.close();
    },
  };
}
