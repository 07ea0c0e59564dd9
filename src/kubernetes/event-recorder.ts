import { createHash, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { CallError, Code } from '../errors.ts';
import { cut } from '../text.ts';
import { ApiError, isAbsent } from './api-error.ts';
import type { KubernetesClient } from './client.ts';
import { microTime } from './micro-time.ts';

/**
 * The object that an event is about. `kubectl describe` shows only events with all of these fields as the object has them, with one
 * exception: the uid of a Node may also be its name.
 * https://github.com/kubernetes/kubectl/blob/master/pkg/describe/describe.go (searchEvents)
 */
export interface ObjectReference {
  readonly apiVersion: string;
  readonly kind: string;
  /** Absent: a cluster-scoped object, whose events are in the namespace `default`. */
  readonly namespace?: string;
  readonly name: string;
  readonly uid: string;
}

/** An event that is to be written. */
export interface NewEvent {
  readonly regarding: ObjectReference;
  readonly type: 'Normal' | 'Warning';
  /** In CamelCase, as is `action`: what was done, or tried, when it happened. */
  readonly reason: string;
  readonly action: string;
  readonly note: string;
  /**
   * A lasting state, which several processes may report. Equal ones become one Event, whichever process writes it first, and are not counted.
   * If the state is recorded after the API server has deleted the Event, a new Event is created.
   */
  readonly isState?: boolean;
}

/** Writes events where `kubectl describe` of an object shows them. */
export interface EventRecorder {
  /** Returns at once and never throws. Repetitions within `sameWithinMs` count up the event that exists. */
  record(event: NewEvent): void;
  /** Waits until all events are sent, at most `timeoutMs`. */
  close(timeoutMs: number): Promise<void>;
}

export interface EventRecorderOptions {
  readonly client: Pick<KubernetesClient, 'create' | 'patch'>;
  readonly driverName: string;
  /** Names this process among those of the driver: its node, or its pod. */
  readonly instance: string;
  /** An event could not be sent, and is not retried. `isNew`: the one before was sent, or failed for another reason. */
  failed?(error: CallError, isNew: boolean): void;
  /** Equal events within this time become one. Default: 10 min. */
  readonly sameWithinMs?: number;
  /** How many events may be queued, and how many are remembered; more are dropped. Default: 256. */
  readonly maxEvents?: number;
}

const EVENTS = { group: 'events.k8s.io', version: 'v1', plural: 'events' };
const SAME_WITHIN_MS = 600_000;
const MAX_EVENTS = 256;
const TIMEOUT_MS = 5000;
/** Bytes of an event's note. */
const MAX_NOTE_BYTES = 1024;

interface EventRecord extends NewEvent {
  /** Of the Event object; undefined: not created yet. */
  name: string | undefined;
  count: number;
  last: Date;
  queued: boolean;
}

/** Writes Event objects: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/ */
export function createEventRecorder(options: EventRecorderOptions): EventRecorder {
  const { client, failed, sameWithinMs = SAME_WITHIN_MS, maxEvents = MAX_EVENTS } = options;
  const recent = new LRUCache<string, EventRecord>({ max: maxEvents, ttl: sameWithinMs });
  const queue: EventRecord[] = [];
  let working: Promise<void> | undefined;
  /** Why the last event was not sent: an HTTP status, or undefined without a response. */
  let failure: { readonly status: number | undefined } | undefined;

  function find(added: NewEvent): EventRecord {
    const key = contentOf(added);
    const now = new Date();
    const known = recent.get(key);
    const event = known ?? { ...added, name: undefined, count: 0, last: now, queued: false };
    event.count += 1;
    event.last = now;
    // An entry expires `sameWithinMs` after its last recording. That of a state expires after its first, so that its Event is created again.
    if (known === undefined || added.isState !== true) recent.set(key, event);
    return event;
  }

  async function work(): Promise<void> {
    for (let event = queue.shift(); event !== undefined; event = queue.shift()) {
      event.queued = false;
      try {
        await send(event);
        failure = undefined;
      } catch (error) {
        const status = error instanceof ApiError ? error.status : undefined;
        const isNew = failure === undefined || failure.status !== status;
        failure = { status };
        failed?.(CallError.from(error), isNew);
      }
    }
    working = undefined;
  }

  async function send(event: EventRecord): Promise<void> {
    const { name, isState = false, count, last } = event;
    if (isState && name !== undefined) return;
    const series = isState || count === 1 ? {} : { series: { count, lastObservedTime: microTime(last) } };
    if (name !== undefined) {
      try {
        await client.patch(EVENTS, { namespace: namespaceOf(event), name }, series, { timeoutMs: TIMEOUT_MS });
        return;
      } catch (error) {
        // The API server deletes events after an hour by default.
        if (!isAbsent(error)) throw error;
      }
    }
    const object = toEvent(event, options);
    try {
      await client.create(EVENTS, { ...object, ...series }, { timeoutMs: TIMEOUT_MS });
    } catch (error) {
      if (!isState || !isThere(error)) throw error;
    }
    event.name = object.metadata.name;
  }

  return {
    record(added) {
      const event = find(added);
      if (event.queued || queue.length >= maxEvents) return;
      event.queued = true;
      queue.push(event);
      working ??= work();
    },
    async close(timeoutMs) {
      const waited = Promise.withResolvers<void>();
      const timer = setTimeout(waited.resolve, timeoutMs);
      await Promise.race([working, waited.promise]);
      clearTimeout(timer);
      for (const event of queue.splice(0)) event.queued = false;
    },
  };
}

/** What makes two events the same. */
function contentOf({ regarding, reason, note }: NewEvent): string {
  return JSON.stringify([regarding.uid, reason, note]);
}

/** The API server requires this one for an object without a namespace. */
function namespaceOf({ regarding }: NewEvent): string {
  return regarding.namespace ?? 'default';
}

function toEvent(event: EventRecord, { driverName, instance }: EventRecorderOptions) {
  const { regarding, type, reason, action, note, last, isState = false } = event;
  // The name of a state's Event is derived from its content, so that a second process finds the Event that the first has created.
  const id = isState
    ? createHash('sha256').update(contentOf(event)).digest('hex').slice(0, 16)
    : randomBytes(8).toString('hex');
  return {
    kind: 'Event',
    metadata: { namespace: namespaceOf(event), name: `${nameStart(regarding.name)}.${id}` },
    eventTime: microTime(last),
    reportingController: driverName,
    reportingInstance: instance.slice(0, 128),
    action,
    type,
    reason,
    regarding,
    note: cut(note, MAX_NOTE_BYTES),
  };
}

function isThere(error: unknown): boolean {
  return error instanceof ApiError && error.code === Code.ALREADY_EXISTS;
}

/** Shortens an object's name so that the event's name has at most 253 characters and is valid. */
function nameStart(name: string): string {
  return name.slice(0, 230).replace(/[-.]+$/, '');
}
