import { MAPS } from './images.ts';

/** What a test's pod may change. */
export interface PodOptions {
  /** The volume `maps`: see below. Default: none. */
  readonly volume?: object;
  readonly serviceAccount?: string;
  /** Adds to the pod's spec. */
  readonly spec?: object;
  /** Adds to the container `main`. */
  readonly container?: object;
  /** Adds to its mount of the volume. */
  readonly mount?: object;
  readonly labels?: Readonly<Record<string, string>>;
}

/** As Pod Security `restricted` requires, but for the seccomp profile; and in no privileged group. */
export const UNPRIVILEGED = {
  runAsNonRoot: true,
  runAsUser: 65534,
  runAsGroup: 65534,
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
};

/** Root, as in most containers. */
export const ROOT = { runAsUser: 0, runAsGroup: 0 };

/** A pod that sleeps, as nobody, with a volume at /maps. */
export function pod(name: string, options: PodOptions = {}) {
  const { volume, serviceAccount, spec, container, mount, labels } = options;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, ...(labels && { labels }) },
    spec: {
      ...(serviceAccount !== undefined && { serviceAccountName: serviceAccount }),
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          name: 'main',
          image: MAPS,
          command: ['sleep', 'infinity'],
          securityContext: UNPRIVILEGED,
          ...(volume && { volumeMounts: [{ name: 'maps', mountPath: '/maps', ...mount }] }),
          ...container,
        },
      ],
      ...(volume && { volumes: [{ name: 'maps', ...volume }] }),
      ...spec,
    },
  };
}

/** An inline volume: `inline({ maps: 'flows, limits:rw' })`. */
export function inline(volumeAttributes: Readonly<Record<string, string>>, fields: object = {}): object {
  return { csi: { driver: 'csi.bpffs.dev', volumeAttributes, ...fields } };
}

/** The volume of a claim. */
export function claimed(claimName: string, fields: object = {}): object {
  return { persistentVolumeClaim: { claimName, ...fields } };
}
