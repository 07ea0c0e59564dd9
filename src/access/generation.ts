import { BEAT_MS, type Beat } from './access-lease.ts';

/** Ties an answer to what was known of access when it was given. */
export interface Term {
  /** Whether the answer is still right: no grant has changed since, and the controller is alive to say so. */
  isGood(): boolean;
}

/** What this node knows of the generation of access. */
export interface Generation {
  /** The Lease was created, changed, or deleted (undefined). */
  hear(beat: Beat | undefined): void;
  /** Whether the controller is heard. */
  isHeard(): boolean;
  /** Runs `ask`, and returns its answer; `term`: undefined if it may be older than what is known. */
  during<T>(ask: () => Promise<T>): Promise<{ readonly answer: T; readonly term: Term | undefined }>;
}

/** After this time without a renewal the controller is not heard, so that a later change is acted on as if there were no controller. */
const SILENCE_MS = 3 * BEAT_MS;
/**
 * An API server decides by its own copy of the RBAC objects. This is the time by which it may lag behind the controller's: answers from the
 * time after a change are tied to nothing.
 */
const LAG_MS = 60_000;

/** The answers between two renewals. */
interface Interval {
  readonly generation: Known;
  /** A process of the controller took over after it: what happened meanwhile, and was undone, nobody has seen. */
  isLost: boolean;
}

interface Known {
  readonly text: string;
  readonly settledAt: number;
}

/** `now`: milliseconds of a monotonic clock. */
export function createGeneration(now: () => number = () => performance.now()): Generation {
  let known: Known | undefined;
  let holder = '';
  let interval: Interval | undefined;
  let previous: Interval | undefined;
  let heardAt = Number.NEGATIVE_INFINITY;
  /** Since when there was no silence. */
  let heardSince = 0;
  /** The last renewal that is known to be new: after a silence the first ones may be old. */
  let renewedAt = Number.NEGATIVE_INFINITY;
  const isHeard = () => now() - renewedAt <= SILENCE_MS;

  function turn(generation: Known): void {
    previous = interval;
    interval = { generation, isLost: false };
  }

  return {
    isHeard,
    hear(beat) {
      if (beat === undefined) renewedAt = heardAt = Number.NEGATIVE_INFINITY;
      if (beat === undefined || beat.holder === '') return;
      const at = now();
      if (at - heardAt > SILENCE_MS) heardSince = at;
      heardAt = at;
      if (at - heardSince >= BEAT_MS / 2) renewedAt = at;
      if (beat.generation !== known?.text) {
        known = { text: beat.generation, settledAt: at + Math.max(0, LAG_MS - beat.ageMs) };
      } else if (beat.holder !== holder) {
        // The last renewal may have been on its way when the process before ended. So the answers before it count as lost, too.
        for (const one of [previous, interval]) if (one !== undefined) one.isLost = true;
      }
      holder = beat.holder;
      turn(known);
    },
    async during(ask) {
      const before = known;
      const isSettled = before !== undefined && now() >= before.settledAt;
      const answer = await ask();
      const given = interval;
      if (!isSettled || given === undefined || given.generation !== before) return { answer, term: undefined };
      return { answer, term: { isGood: () => given.generation === known && !given.isLost && isHeard() } };
    },
  };
}
