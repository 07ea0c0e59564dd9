/** A SecurityContextConstraints, as far as the chart uses them. https://github.com/openshift/api/blob/master/security/v1/types.go */
export interface Constraints {
  readonly allowPrivilegedContainer: boolean;
  readonly allowPrivilegeEscalation: boolean;
  readonly allowHostDirVolumePlugin: boolean;
  readonly allowHostIPC: boolean;
  readonly allowHostNetwork: boolean;
  readonly allowHostPID: boolean;
  readonly allowHostPorts: boolean;
  readonly allowedCapabilities: readonly string[];
  readonly defaultAddCapabilities: readonly string[];
  readonly requiredDropCapabilities: readonly string[];
  readonly readOnlyRootFilesystem: boolean;
  readonly runAsUser: { readonly type: string; readonly uidRangeMin?: number; readonly uidRangeMax?: number };
  readonly fsGroup: { readonly type: string };
  readonly supplementalGroups: { readonly type: string };
  readonly seLinuxContext: { readonly type: string; readonly seLinuxOptions?: SeLinuxOptions };
  readonly seccompProfiles: readonly string[];
  readonly volumes: readonly string[];
}

type SeLinuxOptions = Readonly<Partial<Record<'user' | 'role' | 'type' | 'level', string>>>;

interface Context {
  readonly runAsUser?: number;
  readonly seLinuxOptions?: SeLinuxOptions;
  readonly seccompProfile?: { readonly type: string; readonly localhostProfile?: string };
}

interface PodContext extends Context {
  readonly fsGroup?: number;
}

interface ContainerContext extends Context {
  readonly privileged?: boolean;
  readonly allowPrivilegeEscalation?: boolean;
  readonly readOnlyRootFilesystem?: boolean;
  readonly capabilities?: { readonly add?: readonly string[]; readonly drop?: readonly string[] };
}

interface Container {
  readonly name: string;
  readonly ports?: readonly { readonly hostPort?: number }[];
  readonly securityContext?: ContainerContext;
}

export interface PodSpec {
  readonly hostIPC?: boolean;
  readonly hostNetwork?: boolean;
  readonly hostPID?: boolean;
  readonly securityContext?: PodContext;
  readonly initContainers?: readonly Container[];
  readonly containers: readonly Container[];
  readonly volumes?: readonly { readonly name: string; readonly [source: string]: unknown }[];
}

/** What OpenShift has given the pod's namespace, in annotations. */
export const NAMESPACE = { level: 's0:c26,c5', firstUid: 1_000_680_000, lastUid: 1_000_689_999 };

/** What a container has when it is admitted, its own or its pod's. */
export interface Admitted {
  readonly name: string;
  readonly runAsUser: number | undefined;
  readonly seLinuxOptions: SeLinuxOptions | undefined;
  readonly seccompProfile: string;
  readonly drop: readonly string[];
}

/**
 * What OpenShift's admission does with a pod under one constraint: what it gives to those containers that ask for nothing, and the reasons
 * to deny the pod, each named for the field.
 * https://github.com/openshift/apiserver-library-go/blob/master/pkg/securitycontextconstraints/sccmatching/provider.go
 */
export function admit(
  constraints: Constraints,
  pod: PodSpec,
): { reasons: readonly string[]; containers: readonly Admitted[] } {
  const of = pod.securityContext ?? {};
  const seLinuxOptions = of.seLinuxOptions ?? requiredLabel(constraints);
  const seccompProfile = profileName(of) ?? constraints.seccompProfiles.find((name) => name !== '*') ?? '';
  const reasons: string[] = [];
  const require = (isMet: boolean, field: string) => {
    if (!isMet) reasons.push(field);
  };
  for (const field of ['IPC', 'Network', 'PID'] as const)
    require(constraints[`allowHost${field}`] || !pod[`host${field}`], `host${field}`);
  // With a group of the namespace for those that have none, and the constraint gives it.
  require(constraints.fsGroup.type === 'RunAsAny' || of.fsGroup === undefined, 'fsGroup');
  for (const { name, ...source } of pod.volumes ?? []) {
    const [type = ''] = Object.keys(source);
    require(constraints.volumes.includes(type) &&
      (type !== 'hostPath' || constraints.allowHostDirVolumePlugin), `volumes: ${name}`);
  }
  const containers = [...(pod.initContainers ?? []), ...pod.containers].map(
    ({ name, ports, securityContext: own = {} }) => {
      const { add = [], drop = [] } = own.capabilities ?? {};
      const admitted: Admitted = {
        name,
        runAsUser: own.runAsUser ?? of.runAsUser ?? uids(constraints)[0],
        seLinuxOptions: own.seLinuxOptions ?? seLinuxOptions,
        seccompProfile: profileName(own) ?? seccompProfile,
        drop: [...new Set([...drop, ...constraints.requiredDropCapabilities])],
      };
      const requireOf = (isMet: boolean, field: string) => require(isMet, `${name}: ${field}`);
      const { privileged = false } = own;
      requireOf(constraints.allowPrivilegedContainer || !privileged, 'privileged');
      // Not to ask is to be given false, which the API server does not take of a privileged container.
      requireOf(
        constraints.allowPrivilegeEscalation || (!own.allowPrivilegeEscalation && !privileged),
        'allowPrivilegeEscalation',
      );
      requireOf(!constraints.readOnlyRootFilesystem || own.readOnlyRootFilesystem !== false, 'readOnlyRootFilesystem');
      requireOf(constraints.allowHostPorts || !ports?.some(({ hostPort = 0 }) => hostPort > 0), 'hostPort');
      const mayAdd = [...constraints.allowedCapabilities, ...constraints.defaultAddCapabilities];
      requireOf(mayAdd.includes('*') || add.every((capability) => mayAdd.includes(capability)), 'capabilities.add');
      requireOf(isUidAllowed(constraints, admitted.runAsUser), 'runAsUser');
      requireOf(isLabelAllowed(constraints, admitted.seLinuxOptions), 'seLinuxOptions');
      requireOf(isProfileAllowed(constraints, admitted.seccompProfile), 'seccompProfile');
      return admitted;
    },
  );
  require(isLabelAllowed(constraints, seLinuxOptions), 'seLinuxOptions');
  require(isProfileAllowed(constraints, seccompProfile), 'seccompProfile');
  return { reasons, containers };
}

/** Each step by which a constraint could allow less and still be for such a pod, named for the field. */
export function stricter(constraints: Constraints, pod: PodSpec): readonly (readonly [field: string, Constraints])[] {
  const steps: (readonly [field: string, Partial<Constraints>])[] = [];
  for (const [field, value] of Object.entries(constraints)) {
    if (field.startsWith('allow') && value === true) steps.push([field, { [field]: false }]);
    if (Array.isArray(value) && field !== 'requiredDropCapabilities')
      for (const gone of value) steps.push([`${field}: ${gone}`, { [field]: value.filter((one) => one !== gone) }]);
  }
  if (!constraints.readOnlyRootFilesystem) steps.push(['readOnlyRootFilesystem', { readOnlyRootFilesystem: true }]);
  const range = { type: 'MustRunAsRange', ...rangeOf(pod) };
  if (constraints.runAsUser.type === range.type) {
    const { uidRangeMin = 0, uidRangeMax = 0 } = constraints.runAsUser;
    steps.push(['uidRangeMin', { runAsUser: { ...constraints.runAsUser, uidRangeMin: uidRangeMin + 1 } }]);
    steps.push(['uidRangeMax', { runAsUser: { ...constraints.runAsUser, uidRangeMax: uidRangeMax - 1 } }]);
  } else {
    steps.push(['runAsUser', { runAsUser: range }]);
  }
  const { seLinuxOptions = {} } = pod.securityContext ?? {};
  if (constraints.seccompProfiles.includes('*'))
    steps.push(['seccompProfiles', { seccompProfiles: containersOf(pod).flatMap((one) => profileName(one) ?? []) }]);
  if (constraints.seLinuxContext.type === 'RunAsAny')
    steps.push(['seLinuxContext', { seLinuxContext: { type: 'MustRunAs', seLinuxOptions } }]);
  return steps.map(([field, step]) => [field, { ...constraints, ...step }]);
}

/** The contexts of its containers. */
function containersOf({ initContainers = [], containers }: PodSpec): readonly ContainerContext[] {
  return [...initContainers, ...containers].map(({ securityContext = {} }) => securityContext);
}

function rangeOf(pod: PodSpec): { readonly uidRangeMin: number; readonly uidRangeMax: number } {
  const all = containersOf(pod).flatMap(({ runAsUser }) => runAsUser ?? []);
  return { uidRangeMin: Math.min(...all), uidRangeMax: Math.max(...all) };
}

function uids({ runAsUser }: Constraints): readonly [number | undefined, number | undefined] {
  if (runAsUser.type !== 'MustRunAsRange') return [undefined, undefined];
  return [runAsUser.uidRangeMin ?? NAMESPACE.firstUid, runAsUser.uidRangeMax ?? NAMESPACE.lastUid];
}

function isUidAllowed(constraints: Constraints, uid: number | undefined): boolean {
  if (constraints.runAsUser.type === 'RunAsAny') return true;
  if (constraints.runAsUser.type === 'MustRunAsNonRoot') return uid !== 0;
  const [first = 0, last = 0] = uids(constraints);
  return uid !== undefined && first <= uid && uid <= last;
}

function requiredLabel({ seLinuxContext: { type, seLinuxOptions } }: Constraints): SeLinuxOptions | undefined {
  return type === 'MustRunAs' ? { level: NAMESPACE.level, ...seLinuxOptions } : undefined;
}

function isLabelAllowed(constraints: Constraints, label: SeLinuxOptions | undefined): boolean {
  const required = requiredLabel(constraints);
  return (
    required === undefined ||
    (['user', 'role', 'type', 'level'] as const).every((part) => label?.[part] === required[part])
  );
}

function profileName({ seccompProfile }: Context): string | undefined {
  if (seccompProfile === undefined) return undefined;
  const { type, localhostProfile } = seccompProfile;
  return type === 'Localhost'
    ? `localhost/${localhostProfile}`
    : type === 'RuntimeDefault'
      ? 'runtime/default'
      : 'unconfined';
}

function isProfileAllowed({ seccompProfiles }: Constraints, profile: string): boolean {
  return (
    seccompProfiles.includes('*') || (seccompProfiles.length === 0 ? profile === '' : seccompProfiles.includes(profile))
  );
}
