/** What `kubectl get pods --watch --output-watch-events` prints of each event, for `readPodEvent`. */
export const POD_EVENT =
  '{.type} {.object.metadata.name} {.object.status.phase} {.object.metadata.deletionTimestamp}{"\\n"}';

/** A change of a pod. */
export interface PodEvent {
  readonly type: string;
  readonly pod: string;
  readonly phase: string;
  readonly isEnding: boolean;
}

export function readPodEvent(line: string): PodEvent {
  const [type = '', pod = '', phase = '', deletion = ''] = line.split(' ');
  return { type, pod, phase, isEnding: deletion !== '' };
}

/** When the pods of one measurement changed. Times are those of whoever calls `note`, in any unit. */
export interface PodHistory {
  /** Throws if a pod failed or ended by itself. */
  note(event: PodEvent, at: number): void;
  /** How many pods have been Running, and how many are gone. */
  readonly running: number;
  readonly gone: number;
  /** From the creation of the first pod until the last was Running. NaN: none was. */
  startup(): number;
  /** From the first pod that had to end until the last was gone. NaN: none is. */
  removal(): number;
}

export function createPodHistory(): PodHistory {
  const moments = { created: new Map(), running: new Map(), ending: new Map(), gone: new Map() } satisfies Record<
    string,
    Map<string, number>
  >;
  const first = (of: Map<string, number>) => Math.min(...of.values());
  const last = (of: Map<string, number>) => Math.max(...of.values());
  return {
    note({ type, pod, phase, isEnding }, at) {
      if (!isEnding && (phase === 'Failed' || phase === 'Succeeded')) throw new Error(`pod ${pod} has ${phase}`);
      const once = (of: Map<string, number>) => of.has(pod) || of.set(pod, at);
      once(moments.created);
      if (phase === 'Running') once(moments.running);
      if (isEnding) once(moments.ending);
      if (type === 'DELETED') once(moments.gone);
    },
    get running() {
      return moments.running.size;
    },
    get gone() {
      return moments.gone.size;
    },
    startup: () => (moments.running.size === 0 ? Number.NaN : last(moments.running) - first(moments.created)),
    removal: () => (moments.gone.size === 0 ? Number.NaN : last(moments.gone) - first(moments.ending)),
  };
}
