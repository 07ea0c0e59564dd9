import type { EventRecorder } from '../kubernetes/event-recorder.ts';

/** What happened to the driver on a node, and the type of its event. */
const TYPES = { BpfPinnerDown: 'Warning', BpfPinnerUp: 'Normal' } as const;

/** Reports what happens to the driver on this node, as events on the Node. */
export interface NodeEvents {
  /** Returns at once and never throws. */
  record(reason: keyof typeof TYPES, note: string): void;
}

/** As the kubelet's own events, they have the Node's name for its uid: this process may not read the Node. */
export function createNodeEvents({ record }: Pick<EventRecorder, 'record'>, nodeName: string): NodeEvents {
  const regarding = { apiVersion: 'v1', kind: 'Node', name: nodeName, uid: nodeName };
  return {
    record: (reason, note) => record({ regarding, type: TYPES[reason], reason, action: 'Probe', note }),
  };
}
