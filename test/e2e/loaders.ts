import { type Step, stepsOfDocument, yamlOfDocument } from './documented.ts';
import { DRIVER, MAPS } from './images.ts';

const DOCUMENT = 'docs/delegate.md';

const [delegation, example] = (await yamlOfDocument(DOCUMENT)) as [Delegation, { readonly spec: LoaderSpec }];

interface Delegation {
  readonly metadata: { readonly name: string };
  readonly spec: Readonly<Record<string, unknown>>;
}

interface Container {
  readonly volumeMounts: readonly object[];
  readonly [field: string]: unknown;
}

interface LoaderSpec {
  readonly initContainers: readonly [Container];
  readonly containers: readonly [Container];
  readonly volumes: readonly object[];
  readonly [field: string]: unknown;
}

/** The BpfDelegation of the document. */
export const DELEGATION = delegation;

/** What the document has a reader run: how to grant the delegation in the namespace `prod`, and how to withdraw it. */
export const [GRANT, WITHDRAW] = (await stepsOfDocument(DOCUMENT)) as [Step, Step];

/** The libraries that a loader is built with. */
export const LIBRARIES = ['libbpf', 'cilium'] as const;

/** What a loader may change. */
export interface LoaderOptions {
  readonly library?: (typeof LIBRARIES)[number];
  /** Default: that of the document. */
  readonly delegation?: string;
  /** Adds to the pod's spec, and to its container `main`. */
  readonly spec?: object;
  readonly container?: object;
  /** Volumes beside the delegation, each mounted on /<name>. */
  readonly volumes?: readonly { readonly name: string }[];
}

/** The pod of the document, whose loader counts the frames of its interface in PINS/packets. */
export function loader(name: string, options: LoaderOptions = {}) {
  const { library = 'libbpf', delegation = DELEGATION.metadata.name, spec, container, volumes = [] } = options;
  const { initContainers, containers, volumes: documented, ...rest } = example.spec;
  const command = ['sh', '-c', `grep Cap /proc/1/status; exec counter-${library} /bin/counter.bpf.o eth0 ${PINS}`];
  const volumeAttributes = { delegation, hostUsers: 'false' };
  const more = volumes.map(({ name }) => ({ name, mountPath: `/${name}` }));
  const volumeMounts = [...containers[0].volumeMounts, ...more];
  const [volume] = documented.map((volume) => ({ ...volume, csi: { driver: 'csi.bpffs.dev', volumeAttributes } }));
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      ...rest,
      terminationGracePeriodSeconds: 0,
      initContainers: [{ ...initContainers[0], image: `${DRIVER.repository}:${DRIVER.tag}` }],
      containers: [{ ...containers[0], name: 'main', image: MAPS, command, volumeMounts, ...container }],
      volumes: [volume, ...volumes],
      ...spec,
    },
  };
}

/** Where a loader pins. */
export const PINS = '/delegation/bpf';
