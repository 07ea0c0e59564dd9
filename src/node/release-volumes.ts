import { setTimeout as sleep } from 'node:timers/promises';
import { CallError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { Pinner } from '../pinner/pinner.ts';
import type { VolumeReader } from '../volumes/volume-store.ts';

/** Timeout of each call to the pinner. */
const CALL_TIMEOUT_MS = 10_000;

/** What the release of volumes depends on. */
export interface KeptVolumesParts {
  readonly volumes: Pick<VolumeReader, 'get'>;
  readonly pinner: Pick<Pinner, 'listKeptVolumes' | 'releaseVolume'>;
  readonly log: Pick<Logger, 'info' | 'warn'>;
}

/**
 * Releases what this node keeps of deleted persistent volumes, now and every `intervalMs` until stopped. A volume that is invalid, or
 * cannot be looked up now, counts as existing.
 */
export function startReleasing(parts: KeptVolumesParts, intervalMs: number): { stop(): void } {
  const stopping = new AbortController();
  const { signal } = stopping;
  void (async () => {
    let logged: LoggedErrors = new Map();
    while (!signal.aborted) {
      logged = await releaseDeleted(parts, logged, signal);
      await sleep(intervalMs, undefined, { signal, ref: false }).catch(() => {});
    }
  })();
  return { stop: () => stopping.abort() };
}

/** The last logged error of each volume that could not be released. */
type LoggedErrors = ReadonlyMap<string, string>;

async function releaseDeleted(
  { volumes, pinner, log }: KeptVolumesParts,
  logged: LoggedErrors,
  signal: AbortSignal,
): Promise<LoggedErrors> {
  const limits = () => ({ deadline: Date.now() + CALL_TIMEOUT_MS, signal });
  let kept: readonly string[];
  try {
    // Lists what is kept before looking up what exists, so that a volume made in between does not count as deleted.
    kept = (await pinner.listKeptVolumes(limits())).volumeIds;
  } catch {
    return logged; // The pinner is down, as /readyz and bpffs_pinner_up show.
  }
  const failed = new Map<string, string>();
  for (const volumeId of kept) {
    if (signal.aborted) break;
    try {
      if ((await volumes.get(volumeId)) !== undefined) continue;
      await pinner.releaseVolume({ volumeId }, limits());
      log.info({ volumeId }, 'released what was kept of a deleted volume');
    } catch (thrown) {
      const error = CallError.from(thrown).message;
      failed.set(volumeId, error);
      if (logged.get(volumeId) !== error && !signal.aborted) {
        log.warn({ volumeId, error }, 'what is kept of this volume stays for now');
      }
    }
  }
  return failed;
}
