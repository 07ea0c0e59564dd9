import { setTimeout as sleep } from 'node:timers/promises';
import { CallError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { Pinner } from '../pinner/pinner.ts';
import type { VolumeLock } from '../rpc/volume-lock.ts';
import type { VolumeReader } from '../volumes/volume-store.ts';

/** A call to the pinner for this may take so long. */
const CALL_TIMEOUT_MS = 10_000;

/** What keeping house stands on. */
export interface KeptVolumesParts {
  readonly volumes: VolumeReader;
  readonly pinner: Pinner;
  readonly lock: VolumeLock;
  readonly log: Logger;
}

/**
 * Releases what this node keeps of persistent volumes that are deleted, now and every `intervalMs` until it is stopped. One
 * that cannot be read, or that nobody can ask for at the moment, counts as living.
 */
export function startReleasing(parts: KeptVolumesParts, intervalMs: number): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const stopped = (async () => {
    while (!stopping.signal.aborted) {
      await releaseDeleted(parts);
      await sleep(intervalMs, undefined, { signal: stopping.signal, ref: false }).catch(() => {});
    }
  })();
  return {
    async stop() {
      stopping.abort();
      await stopped;
    },
  };
}

async function releaseDeleted({ volumes, pinner, lock, log }: KeptVolumesParts): Promise<void> {
  const limits = () => ({ deadline: Date.now() + CALL_TIMEOUT_MS });
  let kept: readonly string[];
  try {
    // First what is kept, then what exists: a volume made in between is not taken for a deleted one.
    kept = (await pinner.listKeptVolumes(limits())).volumeIds;
  } catch {
    return; // The pinner is away, which /readyz and bpffs_pinner_up say.
  }
  for (const volumeId of kept) {
    try {
      if ((await volumes.get(volumeId)) !== undefined) continue;
      await lock.run(volumeId, () => pinner.releaseVolume({ volumeId }, limits()));
      log.info({ volumeId }, 'released what was kept of a deleted volume');
    } catch (error) {
      log.warn({ volumeId, error: CallError.from(error).message }, 'what is kept of this volume stays for now');
    }
  }
}
