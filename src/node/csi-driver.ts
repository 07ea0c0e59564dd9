import * as z from 'zod/mini';
import { failedPrecondition } from '../errors.ts';
import { objectProblem } from '../kubernetes/object-problem.ts';
import { type ReflectorOptions, startReflector } from '../kubernetes/reflector.ts';
import type { KubernetesObject } from '../kubernetes/resource.ts';

const CSI_DRIVERS = { group: 'storage.k8s.io', version: 'v1', plural: 'csidrivers' };

const flag = z.nullish(z.boolean());
const csiDriverSchema = z.object({
  spec: z.object({
    podInfoOnMount: flag,
    requiresRepublish: flag,
    tokenRequests: z.nullish(z.array(z.object({ audience: z.string() }))),
    // No trust depends on these, so that nothing in them makes the object unreadable.
    attachRequired: z.unknown(),
    storageCapacity: z.unknown(),
    seLinuxMount: z.unknown(),
    volumeLifecycleModes: z.unknown(),
  }),
});

type Spec = z.infer<typeof csiDriverSchema>['spec'];

/** What is wrong with the object, each as a sentence that says what to change. */
export interface CsiDriverProblems {
  /** A pod could say that it is another, or keep what was taken from it: nobody is served. */
  readonly stopping: readonly string[];
  /** Something works less well; whom the driver serves, it serves as promised. */
  readonly other: readonly string[];
}

/** What the cluster's own CSIDriver object says of the driver, as it is now. */
export interface CsiDriver {
  /**
   * Throws FAILED_PRECONDITION, and what to change, while something is wrong that stops the driver, and UNAVAILABLE before the object
   * was seen for the first time. An API server that is away later changes nothing.
   */
  requireTrusted(): void;
  /** None of an object that is not known yet. */
  problems(): CsiDriverProblems;
  synced(): Promise<void>;
  /** Seconds since the API server was last heard of; Infinity: never. */
  staleness(): number;
  close(): void;
}

export interface CsiDriverOptions extends Pick<ReflectorOptions<never>, 'client' | 'failing' | 'timing'> {
  readonly driverName: string;
  /** Of the pods' tokens. */
  readonly audience: string;
  /** The object has changed: what is wrong with it now. */
  changed?(problems: CsiDriverProblems): void;
}

/**
 * Follows the CSIDriver object that the kubelet goes by.
 *
 * fsGroupPolicy may be what it likes: to a driver with VOLUME_MOUNT_GROUP the kubelet leaves the pod's group in any case.
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
      const [first, ...others] = problems().stopping;
      if (first !== undefined) throw failedPrecondition([first, ...others].join('; '));
    },
    problems,
    synced: reflector.synced,
    staleness: reflector.staleness,
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
  if (!parsed.success) return stopping(named(objectProblem(parsed.error)));
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
