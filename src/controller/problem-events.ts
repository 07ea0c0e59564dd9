import type { EventRecorder, ObjectReference } from '../kubernetes/event-recorder.ts';

/** What is wrong with an object, and the type of its event. */
const TYPES = { InvalidBpfMap: 'Warning', VolumeDamaged: 'Warning' } as const;

/** Why an object cannot be used. */
export interface Problem {
  /** The object that an administrator looks at. */
  readonly regarding: ObjectReference;
  readonly reason: keyof typeof TYPES;
  /** A sentence that names the object and says what is wrong. */
  readonly note: string;
}

/** Reports problems of objects, as events on them. */
export interface ProblemEvents {
  /** There may be other problems now. */
  changed(): void;
  close(): void;
}

/**
 * Problems that are told, fewer than the recorder remembers: a release that accepts no object of the one before must not burden the API
 * server as well.
 */
const MAX_TOLD = 200;
/** The API server deletes events after an hour by default. */
const INTERVAL_MS = 30 * 60_000;
/** The delay after a change, together with further ones. */
const PAUSE_MS = 200;

/**
 * Tells what `find` returns, after each change and every half hour, so that an event does not disappear much before its problem.
 *
 * Each replica of the controller does this. There is no leader among them: the lease is external-provisioner's, which tells the controller
 * beside it nothing. Since such an event is a state, whose name follows from its content, the replicas make one Event for a problem; what the
 * others add is a request that the API server answers with "already exists".
 */
export function tellProblems(
  { record }: Pick<EventRecorder, 'record'>,
  find: () => readonly Problem[],
  intervalMs = INTERVAL_MS,
): ProblemEvents {
  let pause: NodeJS.Timeout | undefined;
  const tell = () => {
    pause = undefined;
    for (const problem of find().slice(0, MAX_TOLD)) {
      record({ ...problem, type: TYPES[problem.reason], action: 'Read', isState: true });
    }
  };
  const interval = setInterval(tell, intervalMs).unref();
  return {
    changed() {
      pause ??= setTimeout(tell, PAUSE_MS).unref();
    },
    close() {
      clearInterval(interval);
      clearTimeout(pause);
    },
  };
}
