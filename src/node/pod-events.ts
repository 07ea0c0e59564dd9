import { randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { PodIdentity } from '../access/access.ts';
import { CallError } from '../errors.ts';
import { isAbsent } from '../kubernetes/api-error.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import { cut } from '../text.ts';

/** What happened to a running pod's maps, and the type of its event. */
const TYPES = {
  MapReplaced: 'Normal',
  MapRenamed: 'Normal',
  MapAccessRevoked: 'Warning',
  MapAccessRestored: 'Normal',
} as const;

export type EventReason = keyof typeof TYPES;

export const EVENT_REASONS = Object.keys(TYPES) as EventReason[];

/** Reports what happens to a running pod's maps, as events on the pod. */
export interface PodEvents {
  /** Returns at once and never throws. Repetitions within `sameWithinMs` count up the event that exists. */
  record(pod: PodIdentity, reason: EventReason, note: string): void;
  /** Waits until all events are sent, at most `timeoutMs`. */
  close(timeoutMs: number): Promise<void>;
}

export interface PodEventsOptions {
  readonly client: Pick<KubernetesClient, 'create' | 'patch'>;
  readonly driverName: string;
  readonly nodeName: string;
  /** An event could not be sent, and is not retried. */
  failed?(error: CallError): void;
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

interface EventRecord {
  readonly pod: PodIdentity;
  readonly reason: EventReason;
  readonly note: string;
  /** Of the Event object; undefined: not created yet. */
  name: string | undefined;
  count: number;
  last: Date;
  queued: boolean;
}

/** Writes Event objects: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/ */
export function createPodEvents(options: PodEventsOptions): PodEvents {
  const { client, failed, sameWithinMs = SAME_WITHIN_MS, maxEvents = MAX_EVENTS } = options;
  // An entry expires `sameWithinMs` after it was last recorded.
  const recent = new LRUCache<string, EventRecord>({ max: maxEvents, ttl: sameWithinMs });
  const queue: EventRecord[] = [];
  let working: Promise<void> | undefined;

  function find(pod: PodIdentity, reason: EventReason, note: string): EventRecord {
    const key = JSON.stringify([pod.podUid, reason, note]);
    const now = new Date();
    const event = recent.get(key) ?? { pod, reason, note, name: undefined, count: 0, last: now, queued: false };
    event.count += 1;
    event.last = now;
    recent.set(key, event);
    return event;
  }

  async function work(): Promise<void> {
    for (let event = queue.shift(); event !== undefined; event = queue.shift()) {
      event.queued = false;
      try {
        await send(event);
      } catch (error) {
        failed?.(CallError.from(error));
      }
    }
    working = undefined;
  }

  async function send(event: EventRecord): Promise<void> {
    const { namespace } = event.pod;
    const series = event.count > 1 ? { series: { count: event.count, lastObservedTime: microTime(event.last) } } : {};
    if (event.name !== undefined) {
      try {
        await client.patch(EVENTS, { namespace, name: event.name }, series, { timeoutMs: TIMEOUT_MS });
        return;
      } catch (error) {
        // The API server deletes events after an hour by default.
        if (!isAbsent(error)) throw error;
      }
    }
    const object = toEvent(event, options);
    await client.create(EVENTS, { ...object, ...series }, { timeoutMs: TIMEOUT_MS });
    event.name = object.metadata.name;
  }

  return {
    record(pod, reason, note) {
      const event = find(pod, reason, note);
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

function toEvent({ pod, reason, note, last }: EventRecord, { driverName, nodeName }: PodEventsOptions) {
  const { namespace, podName, podUid } = pod;
  return {
    kind: 'Event',
    metadata: { namespace, name: `${nameStart(podName)}.${randomBytes(8).toString('hex')}` },
    eventTime: microTime(last),
    reportingController: driverName,
    reportingInstance: nodeName.slice(0, 128),
    action: 'Republish',
    type: TYPES[reason],
    reason,
    regarding: { apiVersion: 'v1', kind: 'Pod', namespace, name: podName, uid: podUid },
    note: cut(note, MAX_NOTE_BYTES),
  };
}

/** Shortens a pod's name so that the event's name has at most 253 characters and is valid. */
function nameStart(podName: string): string {
  return podName.slice(0, 230).replace(/[-.]+$/, '');
}

/** Kubernetes's MicroTime: RFC 3339 with microseconds. */
function microTime(date: Date): string {
  return date.toISOString().replace('Z', '000Z');
}
