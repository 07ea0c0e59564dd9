import { randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { PodIdentity } from '../access/access.ts';
import { CallError } from '../errors.ts';
import { isAbsent } from '../kubernetes/api-error.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import { cut } from '../text.ts';

/** What happened to a running pod's maps, and how kubectl shows it. */
const TYPES = {
  MapReplaced: 'Normal',
  MapRenamed: 'Normal',
  MapAccessRevoked: 'Warning',
  MapAccessRestored: 'Normal',
} as const;

export type EventReason = keyof typeof TYPES;

/** All of them. */
export const EVENT_REASONS = Object.keys(TYPES) as EventReason[];

/** Tells people about a pod, in the pod's events. */
export interface PodEvents {
  /** Returns at once and never throws. What was recorded of the pod some minutes ago is counted there, and makes no second event. */
  record(pod: PodIdentity, reason: EventReason, note: string): void;
  /** Waits until everything is told, at most `timeoutMs`. */
  close(timeoutMs: number): Promise<void>;
}

export interface PodEventsOptions {
  readonly client: Pick<KubernetesClient, 'create' | 'patch'>;
  readonly driverName: string;
  readonly nodeName: string;
  /** An event could not be told, and is not tried again. */
  failed?(error: CallError): void;
  /** Between two that are the same. Default: 10 min. */
  readonly sameWithinMs?: number;
  /** How many may wait to be told, and how many are remembered; more are lost. */
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
  /** Of the object; undefined: it is not made yet. */
  name: string | undefined;
  count: number;
  last: Date;
  queued: boolean;
}

/** As events.k8s.io/v1: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/ */
export function createPodEvents(options: PodEventsOptions): PodEvents {
  const { client, failed, sameWithinMs = SAME_WITHIN_MS, maxEvents = MAX_EVENTS } = options;
  // Of each, until nobody has recorded the same for so long.
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
        // Events live for an hour or so.
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

/** As much of it as leaves room in a name of 253 characters, and ends as a part of a name may. */
function nameStart(podName: string): string {
  return podName.slice(0, 230).replace(/[-.]+$/, '');
}

/** RFC 3339 with microseconds, as the API server has it. */
function microTime(date: Date): string {
  return date.toISOString().replace('Z', '000Z');
}
