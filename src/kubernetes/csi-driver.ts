import * as z from 'zod/mini';
import { failedPrecondition } from '../errors.ts';
import { objectProblem } from './object-problem.ts';
import { type ReflectorOptions, startReflector } from './reflector.ts';
import type { KubernetesObject } from './resource.ts';

const CSI_DRIVERS = { group: 'storage.k8s.io', version: 'v1', plural: 'csidrivers' };

const flag = z.nullish(z.boolean());
const csiDriverSchema = z.object({
  spec: z.object({
    podInfoOnMount: flag,
    attachRequired: flag,
    requiresRepublish: flag,
    storageCapacity: flag,
    seLinuxMount: flag,
    tokenRequests: z.nullish(z.array(z.object({ audience: z.string() }))),
    volumeLifecycleModes: z.nullish(z.array(z.string())),
  }),
});

type Spec = z.infer<typeof csiDriverSchema>['spec'];

/** What the cluster's own CSIDriver object says of the driver, as it is now. */
export interface CsiDriver {
  /**
   * Throws FAILED_PRECONDITION, and what to change, if the kubelet would let pods claim to be others or not do its part, and
   * UNAVAILABLE before the object was seen for the first time. An API server that is away later changes nothing.
   */
  requireGood(): void;
  synced(): Promise<void>;
  /** Seconds since the API server was last heard of; Infinity: never. */
  staleness(): number;
  close(): void;
}

export interface CsiDriverOptions extends Pick<ReflectorOptions<never>, 'client' | 'failing' | 'timing'> {
  readonly driverName: string;
  /** Of the pods' tokens. */
  readonly audience: string;
  /** The object has changed: what is wrong with it now, each as a sentence that says what to change. */
  changed?(problems: readonly string[]): void;
}

/**
 * Follows the CSIDriver object that the kubelet goes by.
 *
 * fsGroupPolicy may be what it likes: to a driver with VOLUME_MOUNT_GROUP the kubelet leaves the pod's group in any case.
 * https://kubernetes-csi.github.io/docs/support-fsgroup.html#delegate-fsgroup-to-csi-driver
 */
export function followCsiDriver(options: CsiDriverOptions): CsiDriver {
  const { driverName, audience, changed } = options;
  const absent = [`there is no CSIDriver ${driverName}: without it the kubelet does not say which pod a volume is for`];
  const reflector = startReflector<readonly string[]>({
    ...options,
    resource: CSI_DRIVERS,
    fieldSelector: `metadata.name=${driverName}`,
    parse: (object) => check(object, audience).map((text) => `CSIDriver ${driverName}: ${text}`),
    changed: (_, problems) => changed?.(problems ?? absent),
  });
  void reflector.synced().then(
    () => {
      if (!reflector.current().has(driverName)) changed?.(absent);
    },
    () => undefined,
  );
  return {
    requireGood() {
      reflector.requireFresh(Number.POSITIVE_INFINITY);
      const [first, ...others] = reflector.current().get(driverName) ?? absent;
      if (first !== undefined) throw failedPrecondition([first, ...others].join('; '));
    },
    synced: reflector.synced,
    staleness: reflector.staleness,
    close: reflector.close,
  };
}

function check(object: KubernetesObject, audience: string): readonly string[] {
  const parsed = csiDriverSchema.safeParse(object);
  return parsed.success ? problemsOf(parsed.data.spec, audience) : [objectProblem(parsed.error)];
}

function problemsOf(spec: Spec, audience: string): readonly string[] {
  const modes = spec.volumeLifecycleModes ?? ['Persistent'];
  const audiences = (spec.tokenRequests ?? []).map((request) => request.audience);
  const problems: readonly (readonly [boolean, string])[] = [
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
    [
      spec.attachRequired !== false,
      'attachRequired must be false: nothing attaches these volumes, and pods would wait for it; delete the object and create it anew',
    ],
    [!modes.includes('Ephemeral'), 'volumeLifecycleModes must have Ephemeral: without it there are no inline volumes'],
    [!modes.includes('Persistent'), 'volumeLifecycleModes must have Persistent: without it no claim can be mounted'],
    [
      spec.storageCapacity === true,
      'storageCapacity must not be true: nothing publishes capacities, and the scheduler would wait for them',
    ],
    [spec.seLinuxMount === true, 'seLinuxMount must not be true: a bpf filesystem takes no context as a mount option'],
  ];
  return problems.filter(([wrong]) => wrong).map(([, text]) => text);
}
