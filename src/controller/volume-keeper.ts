import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { CallError } from '../errors.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import { MAX_STALENESS_SECONDS, type ReflectorTiming, startReflector } from '../kubernetes/reflector.ts';
import type { Logger } from '../logger.ts';
import type { Volume } from '../volumes/volume.ts';
import { getObject, PERSISTENT_VOLUMES, setBinding } from '../volumes/volume-objects.ts';
import { followVolumeObjects } from '../volumes/volume-objects-followed.ts';
import type { VolumeListing, VolumeStore } from '../volumes/volume-store.ts';
import { bindingOf, type PersistentVolume, parsePersistentVolume } from './binding.ts';

const CLAIMS = { group: '', version: 'v1', plural: 'persistentvolumeclaims' };

/** Of all PersistentVolumes of a cluster, other drivers' included, this process has memory for so many at a time. */
const PAGE = 500;
/** A change is acted upon after this, together with what changes meanwhile. */
const PAUSE_MS = 200;
/** Without a change everything is looked at again after this. */
const INTERVAL_MS = 60_000;
/** For so long a volume may be without a PersistentVolume: many times what external-provisioner takes to write it. */
const GRACE_MS = 10 * 60_000;

/** What keeping stands on. */
export interface KeeperOptions {
  readonly client: KubernetesClient;
  readonly driverName: string;
  readonly store: VolumeStore;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly graceMs?: number;
  readonly intervalMs?: number;
  readonly timing?: Partial<ReflectorTiming>;
}

/** A copy of all volumes that keeps itself, and them, up to date. */
export interface VolumeKeeper {
  /** Throws UNAVAILABLE while there is no copy, or it is too old. */
  list(): Promise<VolumeListing>;
  /** Resolves once there is a copy, or it is closed before. */
  synced(): Promise<void>;
  /** Of each kind that is followed: seconds since the API server was last heard of. */
  staleness(): Readonly<Record<string, number>>;
  close(): void;
}

/**
 * Writes to each BpfVolume which claim its PersistentVolume is bound to, and deletes those that nobody can ever use: CreateVolume leaves
 * one behind when its claim is deleted before the PersistentVolume is there. Of what had a PersistentVolume nothing is deleted
 * here: who retains one means to. Several controllers may do it at the same time.
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
    changed: () => waking.abort(),
    failing(error: Error | undefined) {
      if (error === undefined) log.info({ resource }, 'the API server is heard again');
      else log.warn({ resource, error: error.message }, 'the API server is not heard');
    },
  });
  const volumes = followVolumeObjects(follow('bpfvolumes'));
  const persistentVolumes = startReflector({
    ...follow('persistentvolumes'),
    resource: PERSISTENT_VOLUMES,
    parse: (object) => parsePersistentVolume(object, driverName),
  });
  /** When each volume was first seen to be nobody's. */
  let orphans: ReadonlyMap<string, number> = new Map();
  let logged: ReadonlyMap<string, string> = new Map();

  async function look(): Promise<void> {
    persistentVolumes.requireFresh(MAX_STALENESS_SECONDS);
    const { volumes: all } = await volumes.list();
    const present = [...persistentVolumes.current().values()].filter((one) => one !== undefined);
    const byVolume = Map.groupBy(present, ({ volumeId }) => volumeId);
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
    // A claim that is bound to nothing may still get this one.
    if (claim !== undefined && (boundTo === undefined || boundTo === '' || boundTo === spec.volumeName)) return;
    await store.delete(id);
    log.info({ volumeId: id, claim: spec.claim }, 'deleted a volume that no PersistentVolume ever stood for');
  }

  void (async () => {
    await Promise.all([volumes.synced(), persistentVolumes.synced()]).catch(() => undefined);
    while (!signal.aborted) {
      waking = new AbortController();
      // What is not known now is known later; /readyz says so meanwhile.
      await look().catch(() => undefined);
      const woken = AbortSignal.any([signal, waking.signal]);
      await sleep(intervalMs, undefined, { signal: woken, ref: false }).catch(() => undefined);
      await sleep(PAUSE_MS, undefined, { signal, ref: false }).catch(() => undefined);
    }
  })();

  return {
    list: volumes.list,
    synced: () => volumes.synced().catch(() => undefined),
    staleness: () => ({ bpfvolumes: volumes.staleness(), persistentvolumes: persistentVolumes.staleness() }),
    close() {
      closing.abort();
      volumes.close();
      persistentVolumes.close();
    },
  };
}
