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
 * The most problems that are reported, fewer than the recorder remembers: if a new release rejects all objects of the one before, it must
 * not also overload the API server.
 */
const MAX_TOLD = 200;
/** The API server deletes events after an hour by default. */
const INTERVAL_MS = 30 * 60_000;
/** The delay after a change, together with further ones. */
const PAUSE_MS = 200;

/**
 * Reports what `find` returns, after each change and every half hour, so that an event does not disappear much before its problem.
 *
 * Each replica of the controller does this, because none knows whether it is the active one: the lease is external-provisioner's. Such an
 * event is a state, whose name follows from its content. So all replicas together create one Event for a problem; the API server answers
 * the requests of the others with "already exists".
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
