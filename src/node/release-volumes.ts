import { setTimeout as sleep } from 'node:timers/promises';
import { CallError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { Pinner } from '../pinner/pinner.ts';
import type { VolumeReader } from '../volumes/volume-store.ts';

/** A call to the pinner for this may take so long. */
const CALL_TIMEOUT_MS = 10_000;

/** What keeping house stands on. */
export interface KeptVolumesParts {
  readonly volumes: Pick<VolumeReader, 'get'>;
  readonly pinner: Pick<Pinner, 'listKeptVolumes' | 'releaseVolume'>;
  readonly log: Pick<Logger, 'info' | 'warn'>;
}

/**
 * Releases what this node keeps of persistent volumes that are deleted, now and every `intervalMs` until it is stopped. One
 * that cannot be read, or that nobody can ask for at the moment, counts as living.
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

/** What was logged last of each volume that could not be released. */
type LoggedErrors = ReadonlyMap<string, string>;

async function releaseDeleted(
  { volumes, pinner, log }: KeptVolumesParts,
  logged: LoggedErrors,
  signal: AbortSignal,
): Promise<LoggedErrors> {
  const limits = () => ({ deadline: Date.now() + CALL_TIMEOUT_MS, signal });
  let kept: readonly string[];
  try {
    // First what is kept, then what exists: a volume made in between is not taken for a deleted one.
    kept = (await pinner.listKeptVolumes(limits())).volumeIds;
  } catch {
    return logged; // The pinner is away, which /readyz and bpffs_pinner_up say.
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
