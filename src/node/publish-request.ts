import type { PodIdentity } from '../access/access.ts';
import { invalidArgument } from '../errors.ts';
import { OBJECT_NAME } from '../maps/names.ts';
import { didYouMean } from '../maps/nearest.ts';
import { parseHostUsers } from '../request/host-users.ts';
import { type MapRequest, parseMapList } from '../request/map-list.ts';
import { isReaderOnly, isSingleTarget, parseVolumeCapability } from '../request/volume-capability.ts';
import type { NodePublishVolumeRequest } from '../rpc/csi.ts';
import { quote } from '../text.ts';
import type { VolumeReference } from './volume-reference.ts';

/** What a pod asks for, complete, and checked as far as the request alone allows. */
export type PublishRequest = MapsRequest | DelegationRequest | PersistentRequest;

/** Maps of the catalog: an inline volume, or a persistent one of type maps. */
export interface MapsRequest extends Mount {
  readonly type: 'maps';
  readonly maps: readonly MapRequest[];
  /** The pod has a user namespace of its own. */
  readonly userNamespace: boolean;
  readonly pod: PodIdentity;
}

/** A bpf filesystem for BPF tokens: an inline volume of a pod that has a user namespace of its own. */
export interface DelegationRequest extends Mount {
  readonly type: 'delegation';
  /** The BpfDelegation's name. */
  readonly delegation: string;
  readonly pod: PodIdentity;
}

/** A volume whose content is in its BpfVolume. */
export interface PersistentRequest extends Mount {
  readonly type: 'shared' | 'workspace';
  readonly readOnly: boolean;
  /** Undefined: the request names no pod, and need not. */
  readonly pod: PodIdentity | undefined;
}

interface Mount extends VolumeReference {
  /** The pod's fsGroup; undefined: it has none. */
  readonly gid: number | undefined;
  /** The volume may have one target path at a time. */
  readonly singleTarget: boolean;
}

type Context = Readonly<Record<string, string>>;

/** Bytes of a volume's attributes, keys and values together. */
const MAX_CONTEXT_BYTES = 128 << 10;

/** Characters of a Kubernetes object's name. */
const MAX_NAME_LENGTH = 253;

/** What a pod's author may write under volumeAttributes. */
const INLINE_ATTRIBUTES = ['maps', 'delegation', 'hostUsers'];

/** What the controller writes under a PersistentVolume's volumeAttributes. */
const PERSISTENT_ATTRIBUTES = ['type', 'maps', 'hostUsers'];

/** What Kubernetes adds to these. It may add more, and a pod's author gains nothing by writing them. */
const FROM_KUBERNETES = /^(csi\.storage\.k8s\.io|storage\.kubernetes\.io)\//;

/** Throws INVALID_ARGUMENT naming the field that the author of the pod or the PersistentVolume has to change. */
export function parsePublishRequest(
  { volumeId, targetPath }: VolumeReference,
  { volumeContext: context, volumeCapability, readonly }: NodePublishVolumeRequest,
): PublishRequest {
  requireShort(context);
  const isInline = isInlineVolume(volumeId, context);
  checkAttributes(context, isInline);
  const type = parseType(context);
  const { gid, mode } = parseVolumeCapability(volumeCapability, type === 'maps' && !isInline ? 'everywhere' : 'node');
  const mount = { volumeId, targetPath, gid, singleTarget: !isInline && isSingleTarget(mode) };
  const readOnly = readonly || isReaderOnly(mode);
  if (context.delegation !== undefined) {
    return { ...mount, type: 'delegation', delegation: parseDelegation(context, readOnly), pod: parsePod(context) };
  }
  if (type !== 'maps') return { ...mount, type, readOnly, pod: hasPod(context) ? parsePod(context) : undefined };
  const maps = parseMapList(context.maps ?? '', 'volumeAttributes.maps');
  return {
    ...mount,
    type,
    maps: readOnly ? forReading(maps, isInline) : maps,
    ...parseHostUsers(context.hostUsers, 'volumeAttributes.hostUsers'),
    pod: parsePod(context),
  };
}

/** Checked before anything is copied. CSI's own limit, 4 KiB, is too small for tokens or 256 maps. */
function requireShort(context: Context): void {
  let bytes = 0;
  for (const key in context) bytes += Buffer.byteLength(key) + Buffer.byteLength(context[key] ?? '');
  if (bytes > MAX_CONTEXT_BYTES)
    throw invalidArgument(
      'volumeAttributes',
      `${bytes} bytes; names and values together may have ${MAX_CONTEXT_BYTES}`,
    );
}

/** The kubelet says so if the CSIDriver object has podInfoOnMount. The ids that it makes for inline volumes show it too. */
function isInlineVolume(volumeId: string, context: Context): boolean {
  return context['csi.storage.k8s.io/ephemeral'] === 'true' || /^csi-[0-9a-f]{64}$/.test(volumeId);
}

function checkAttributes(context: Context, isInline: boolean): void {
  const known = isInline ? INLINE_ATTRIBUTES : PERSISTENT_ATTRIBUTES;
  for (const key of Object.keys(context)) {
    if (known.includes(key) || FROM_KUBERNETES.test(key)) continue;
    const field = `volumeAttributes.${quote(key).slice(1, -1)}`;
    if (key === 'type' || key === 'newMaps') {
      throw invalidArgument(
        field,
        'an inline volume holds maps that exist; one that makes maps or a workspace takes a PersistentVolumeClaim, whose StorageClass says so',
      );
    }
    if (key === 'delegation') throw invalidArgument(field, 'a delegation is for one pod: write it in an inline volume');
    throw invalidArgument(field, `unknown attribute${didYouMean(key, known) || ';'} known: ${known.join(', ')}`);
  }
}

function parseType({ type = 'maps' }: Context): Exclude<PublishRequest['type'], 'delegation'> {
  if (type === 'maps' || type === 'shared' || type === 'workspace') return type;
  throw invalidArgument('volumeAttributes.type', `${quote(type)} is none of maps, shared, workspace`);
}

function parseDelegation({ delegation = '', maps, hostUsers }: Context, readOnly: boolean): string {
  if (maps !== undefined) {
    throw invalidArgument('volumeAttributes', 'both maps and delegation are given; write a volume for each');
  }
  if (!OBJECT_NAME.test(delegation)) {
    throw invalidArgument(
      'volumeAttributes.delegation',
      `${quote(delegation)} is no BpfDelegation name: a DNS-1123 subdomain of at most 128 characters`,
    );
  }
  if (readOnly) {
    throw invalidArgument('readOnly', 'the pod writes to the volume of a delegation: leave it out');
  }
  if (!parseHostUsers(hostUsers, 'volumeAttributes.hostUsers').userNamespace) {
    throw invalidArgument(
      'volumeAttributes.hostUsers',
      'a delegation takes a pod with a user namespace: write hostUsers: false in its spec, and hostUsers: "false" here',
    );
  }
  return delegation;
}

/** A StorageClass may offer writing, and a pod ask for less. In an inline volume both are the pod author's, and contradict each other. */
function forReading(maps: readonly MapRequest[], isInline: boolean): readonly MapRequest[] {
  const writable = maps.find(({ verb }) => verb === 'write');
  if (isInline && writable !== undefined) {
    throw invalidArgument(
      'readOnly',
      `the volume is read-only, but volumeAttributes.maps asks for "${writable.name}:rw"`,
    );
  }
  return maps.map(({ name }) => ({ name, verb: 'read' }));
}

/** The attributes in which the kubelet names the pod. */
const POD = {
  namespace: 'csi.storage.k8s.io/pod.namespace',
  serviceAccount: 'csi.storage.k8s.io/serviceAccount.name',
  podName: 'csi.storage.k8s.io/pod.name',
  podUid: 'csi.storage.k8s.io/pod.uid',
} as const;

function hasPod(context: Context): boolean {
  return Object.values(POD).every((key) => context[key]);
}

function parsePod(context: Context): PodIdentity {
  return {
    namespace: podField(context, POD.namespace),
    serviceAccount: podField(context, POD.serviceAccount),
    podName: podField(context, POD.podName),
    podUid: podField(context, POD.podUid),
  };
}

function podField(context: Context, key: string): string {
  const value = context[key];
  if (value && value.length > MAX_NAME_LENGTH)
    throw invalidArgument(key, `has ${value.length} characters, and may have ${MAX_NAME_LENGTH}`);
  if (value) return value;
  throw invalidArgument(key, 'the kubelet did not send it; the CSIDriver object needs podInfoOnMount: true');
}
