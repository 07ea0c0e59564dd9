import type { PodIdentity } from '../access/access.ts';
import type { EventRecorder } from '../kubernetes/event-recorder.ts';

/** What happened to a running pod's maps, or to its delegation, and the type of its event. */
const TYPES = {
  MapReplaced: 'Normal',
  MapRenamed: 'Normal',
  MapAccessRevoked: 'Warning',
  MapAccessRestored: 'Normal',
  DelegationRevoked: 'Warning',
} as const;

export type EventReason = keyof typeof TYPES;

export const EVENT_REASONS = Object.keys(TYPES) as EventReason[];

/** Reports what happens to a running pod's volumes, as events on the pod. */
export interface PodEvents {
  /** Returns at once and never throws. */
  record(pod: PodIdentity, reason: EventReason, note: string): void;
}

export function createPodEvents({ record }: Pick<EventRecorder, 'record'>): PodEvents {
  return {
    record({ namespace, podName: name, podUid: uid }, reason, note) {
      const regarding = { apiVersion: 'v1', kind: 'Pod', namespace, name, uid };
      record({ regarding, type: TYPES[reason], reason, action: 'Republish', note });
    },
  };
}
