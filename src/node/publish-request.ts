import type { PodIdentity } from '../access/access.ts';
import { didYouMean } from '../catalog/nearest.ts';
import { invalidArgument, quote } from '../errors.ts';
import {
  VolumeCapability_AccessMode_Mode as Mode,
  type NodePublishVolumeRequest,
  type VolumeCapability,
} from '../rpc/generated/csi.ts';
import { type MapRequest, parseMapList } from './map-list.ts';
import { parseVolumeReference, type VolumeReference } from './volume-reference.ts';

/** What a pod asks for, complete and checked as far as the request alone can tell. */
export interface PublishRequest extends VolumeReference {
  readonly maps: readonly MapRequest[];
  /** The pod's fsGroup; undefined: it has none. */
  readonly gid: number | undefined;
  /** The pod has a user namespace of its own. */
  readonly userNamespace: boolean;
  readonly pod: PodIdentity;
}

type Context = Readonly<Record<string, string>>;

/** What a pod's author may write under volumeAttributes. */
const ATTRIBUTES = ['maps', 'hostUsers'];

/** What Kubernetes itself puts beside them; it may add more, and a pod's author gains nothing by it. */
const FROM_KUBERNETES = /^(csi\.storage\.k8s\.io|storage\.kubernetes\.io)\//;

const MODES: ReadonlySet<number> = new Set([
  Mode.SINGLE_NODE_WRITER,
  Mode.SINGLE_NODE_READER_ONLY,
  Mode.SINGLE_NODE_SINGLE_WRITER,
  Mode.SINGLE_NODE_MULTI_WRITER,
]);

/** Throws INVALID_ARGUMENT naming the field that the pod's or the volume's author has to mend. */
export function parsePublishRequest(request: NodePublishVolumeRequest): PublishRequest {
  const { volumeId, targetPath } = parseVolumeReference(request);
  const { gid, readOnlyMode } = parseCapability(request.volumeCapability);
  const { volumeContext } = request;
  for (const key of Object.keys(volumeContext)) {
    if (ATTRIBUTES.includes(key) || FROM_KUBERNETES.test(key)) continue;
    const hint = didYouMean(key, ATTRIBUTES) || ';';
    throw invalidArgument(
      `volumeAttributes.${quote(key).slice(1, -1)}`,
      `unknown attribute${hint} known: ${ATTRIBUTES.join(', ')}`,
    );
  }
  const maps = parseMapList(volumeContext.maps ?? '');
  const writable = maps.find(({ verb }) => verb === 'write');
  if (writable !== undefined && (request.readonly || readOnlyMode)) {
    throw invalidArgument(
      'readOnly',
      `the volume is read-only, but volumeAttributes.maps asks for "${writable.name}:rw"`,
    );
  }
  return {
    volumeId,
    targetPath,
    maps,
    gid,
    userNamespace: parseHostUsers(volumeContext),
    pod: parsePod(volumeContext),
  };
}

function parseCapability(capability: VolumeCapability | undefined): { gid: number | undefined; readOnlyMode: boolean } {
  if (capability === undefined) throw invalidArgument('volume_capability', 'required');
  const { accessType, accessMode } = capability;
  if (accessType?.$case === 'block') throw invalidArgument('volumeMode', 'Block is not supported; use Filesystem');
  if (accessType === undefined) throw invalidArgument('volume_capability', 'an access type is required: mount');
  const mode = accessMode?.mode ?? Mode.UNKNOWN;
  if (!MODES.has(mode)) {
    const name = Object.entries(Mode).find(([, number]) => number === mode)?.[0] ?? String(mode);
    throw invalidArgument(
      'accessModes',
      `${name} is not supported: a map lives on one node; use ReadWriteOnce or ReadWriteOncePod`,
    );
  }
  const { fsType, mountFlags, volumeMountGroup } = accessType.value;
  if (fsType !== '' && fsType !== 'bpf')
    throw invalidArgument('fsType', `${quote(fsType)} is not supported; leave it out, or write "bpf"`);
  if (mountFlags.length > 0)
    throw invalidArgument('mountOptions', `none is supported, but ${quote(mountFlags.join(','))} is given`);
  return { gid: parseGroup(volumeMountGroup), readOnlyMode: mode === Mode.SINGLE_NODE_READER_ONLY };
}

function parseGroup(text: string): number | undefined {
  if (text === '') return undefined;
  const gid = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  // 2^32-1 is -1 to chown(2): "leave it".
  if (!(gid < 0xffffffff)) throw invalidArgument('fsGroup', `${quote(text)} is no group id: 0 to 4294967294`);
  return gid;
}

function parseHostUsers({ hostUsers }: Context): boolean {
  if (hostUsers === undefined || hostUsers === 'true') return false;
  if (hostUsers === 'false') return true;
  throw invalidArgument('volumeAttributes.hostUsers', `${quote(hostUsers)} is neither "true" nor "false"`);
}

function parsePod(context: Context): PodIdentity {
  return {
    namespace: podField(context, 'pod.namespace'),
    serviceAccount: podField(context, 'serviceAccount.name'),
    podName: podField(context, 'pod.name'),
    podUid: podField(context, 'pod.uid'),
  };
}

function podField(context: Context, name: string): string {
  const value = context[`csi.storage.k8s.io/${name}`];
  if (value) return value;
  throw invalidArgument(
    `csi.storage.k8s.io/${name}`,
    'the kubelet did not send it; the CSIDriver object needs podInfoOnMount: true',
  );
}
