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
  readonly most?: number;
}

const EVENTS = { group: 'events.k8s.io', version: 'v1', plural: 'events' };
const SAME_WITHIN_MS = 600_000;
const MAX_EVENTS = 256;
const TIMEOUT_MS = 5000;
/** Bytes of an event's note. */
const MAX_NOTE_BYTES = 1024;

interface Told {
  readonly pod: PodIdentity;
  readonly reason: EventReason;
  readonly note: string;
  /** Of the object; undefined: it is not made yet. */
  name: string | undefined;
  count: number;
  last: Date;
  waiting: boolean;
}

/** As events.k8s.io/v1: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/ */
export function createPodEvents(options: PodEventsOptions): PodEvents {
  const { client, failed, sameWithinMs = SAME_WITHIN_MS, most = MAX_EVENTS } = options;
  // Of each, until nobody has recorded the same for so long.
  const recent = new LRUCache<string, Told>({ max: most, ttl: sameWithinMs });
  const queue: Told[] = [];
  let working: Promise<void> | undefined;

  function find(pod: PodIdentity, reason: EventReason, note: string): Told {
    const key = JSON.stringify([pod.podUid, reason, note]);
    const now = new Date();
    const told = recent.get(key) ?? { pod, reason, note, name: undefined, count: 0, last: now, waiting: false };
    told.count += 1;
    told.last = now;
    recent.set(key, told);
    return told;
  }

  async function work(): Promise<void> {
    for (let told = queue.shift(); told !== undefined; told = queue.shift()) {
      told.waiting = false;
      try {
        await send(told);
      } catch (error) {
        failed?.(CallError.from(error));
      }
    }
    working = undefined;
  }

  async function send(told: Told): Promise<void> {
    const { namespace } = told.pod;
    const series = told.count > 1 ? { series: { count: told.count, lastObservedTime: microTime(told.last) } } : {};
    if (told.name !== undefined) {
      try {
        await client.patch(EVENTS, { namespace, name: told.name }, series, { timeoutMs: TIMEOUT_MS });
        return;
      } catch (error) {
        // Events live for an hour or so.
        if (!isAbsent(error)) throw error;
      }
    }
    const object = toEvent(told, options);
    await client.create(EVENTS, { ...object, ...series }, { timeoutMs: TIMEOUT_MS });
    told.name = object.metadata.name;
  }

  return {
    record(pod, reason, note) {
      const told = find(pod, reason, note);
      if (told.waiting || queue.length >= most) return;
      told.waiting = true;
      queue.push(told);
      working ??= work();
    },
    async close(timeoutMs) {
      const waited = Promise.withResolvers<void>();
      const timer = setTimeout(waited.resolve, timeoutMs);
      await Promise.race([working, waited.promise]);
      clearTimeout(timer);
      for (const told of queue.splice(0)) told.waiting = false;
    },
  };
}

function toEvent({ pod, reason, note, last }: Told, { driverName, nodeName }: PodEventsOptions) {
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
