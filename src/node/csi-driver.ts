import * as z from 'zod/mini';
import { failedPrecondition } from '../errors.ts';
import { objectProblem } from '../kubernetes/object-problem.ts';
import { type Freshness, type ReflectorOptions, startReflector } from '../kubernetes/reflector.ts';
import type { KubernetesObject } from '../kubernetes/resource.ts';

const CSI_DRIVERS = { group: 'storage.k8s.io', version: 'v1', plural: 'csidrivers' };

const flag = z.nullish(z.boolean());
const csiDriverSchema = z.object({
  spec: z.object({
    podInfoOnMount: flag,
    requiresRepublish: flag,
    tokenRequests: z.nullish(z.array(z.object({ audience: z.string() }))),
    // Not security-relevant: no value of these makes the object unreadable.
    attachRequired: z.unknown(),
    storageCapacity: z.unknown(),
    seLinuxMount: z.unknown(),
    volumeLifecycleModes: z.unknown(),
  }),
});

type Spec = z.infer<typeof csiDriverSchema>['spec'];

/** The problems of the CSIDriver object, each as a sentence that says what to change. */
export interface CsiDriverProblems {
  /** A pod could claim to be a different one, or keep maps that were revoked: no pod gets a volume. */
  readonly stopping: readonly string[];
  /** Something works less well, and no less securely. */
  readonly other: readonly string[];
}

/** The driver's CSIDriver object, watched. */
export interface CsiDriver extends Freshness {
  /**
   * Throws FAILED_PRECONDITION, saying what to change, while there are stopping problems, and UNAVAILABLE before the object was first read.
   * A later outage of the API server changes nothing.
   */
  requireTrusted(): void;
  /** None before the object was first read. */
  problems(): CsiDriverProblems;
  synced(): Promise<void>;
  close(): void;
}

export interface CsiDriverOptions extends Pick<ReflectorOptions<never>, 'client' | 'failing' | 'timing'> {
  readonly driverName: string;
  /** The audience of the pods' tokens. */
  readonly audience: string;
  /** Called with the new problems when the object has changed. */
  changed?(problems: CsiDriverProblems): void;
}

/**
 * Watches the CSIDriver object that the kubelet uses.
 *
 * Its fsGroupPolicy does not matter: the kubelet always leaves fsGroup to a driver with VOLUME_MOUNT_GROUP.
 * https://kubernetes-csi.github.io/docs/support-fsgroup.html#delegate-fsgroup-to-csi-driver
 */
export function followCsiDriver(options: CsiDriverOptions): CsiDriver {
  const { driverName, audience, changed } = options;
  const absent = stopping(
    `there is no CSIDriver ${driverName}: without it the kubelet does not say which pod a volume is for`,
  );
  const reflector = startReflector<CsiDriverProblems>({
    ...options,
    resource: CSI_DRIVERS,
    fieldSelector: `metadata.name=${driverName}`,
    parse: (object) => problemsOf(object, audience),
    changed: (_, problems) => changed?.(problems ?? absent),
  });
  const problems = () => (reflector.isSynced ? (reflector.current().get(driverName) ?? absent) : NONE);
  void reflector.synced().then(
    () => {
      if (problems() === absent) changed?.(absent);
    },
    () => undefined,
  );
  return {
    requireTrusted() {
      reflector.requireFresh(Number.POSITIVE_INFINITY);
      const [first, ...others] = (reflector.find(driverName) ?? absent).stopping;
      if (first !== undefined) throw failedPrecondition([first, ...others].join('; '));
    },
    problems,
    synced: reflector.synced,
    staleness: reflector.staleness,
    failure: reflector.failure,
    close: reflector.close,
  };
}

const NONE: CsiDriverProblems = { stopping: [], other: [] };

function stopping(problem: string): CsiDriverProblems {
  return { ...NONE, stopping: [problem] };
}

function problemsOf(object: KubernetesObject, audience: string): CsiDriverProblems {
  const named = (text: string) => `CSIDriver ${object.metadata.name}: ${text}`;
  const parsed = csiDriverSchema.safeParse(object);
  if (!parsed.success) return stopping(named(objectProblem(parsed.error, object)));
  const found = (problems: readonly (readonly [boolean, string])[]) =>
    problems.filter(([wrong]) => wrong).map(([, text]) => named(text));
  const { spec } = parsed.data;
  return { stopping: found(stoppingProblems(spec, audience)), other: found(otherProblems(spec)) };
}

function stoppingProblems(spec: Spec, audience: string): readonly (readonly [boolean, string])[] {
  const audiences = (spec.tokenRequests ?? []).map((request) => request.audience);
  return [
    [
      spec.podInfoOnMount !== true,
      'podInfoOnMount must be true: without it, what is said of the pod is what its author says',
    ],
    [
      !audiences.includes(audience),
      `tokenRequests must have {audience: "${audience}"}: without it nobody can tell whose pod it is`,
    ],
    [
      spec.requiresRepublish !== true,
      'requiresRepublish must be true: without it a running pod keeps maps that were replaced or are not granted any more',
    ],
  ];
}

function otherProblems(spec: Spec): readonly (readonly [boolean, string])[] {
  const modes = Array.isArray(spec.volumeLifecycleModes) ? spec.volumeLifecycleModes : ['Persistent'];
  return [
    [
      spec.attachRequired !== false,
      'attachRequired must be false: nothing attaches these volumes, and pods wait for it; delete the object and create it anew',
    ],
    [!modes.includes('Ephemeral'), 'volumeLifecycleModes must have Ephemeral: without it there are no inline volumes'],
    [!modes.includes('Persistent'), 'volumeLifecycleModes must have Persistent: without it no claim can be mounted'],
    [
      spec.storageCapacity === true,
      'storageCapacity must not be true: nothing publishes capacities, and the scheduler waits for them',
    ],
    [spec.seLinuxMount === true, 'seLinuxMount must not be true: a bpf filesystem takes no context as a mount option'],
  ];
}
