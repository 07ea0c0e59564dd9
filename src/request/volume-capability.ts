import { invalidArgument } from '../errors.ts';
import { VolumeCapability_AccessMode_Mode as Mode, type VolumeCapability } from '../rpc/csi.ts';
import { quote } from '../text.ts';

/** A supported access mode of CSI: https://github.com/container-storage-interface/spec/blob/v1.13.0/spec.md#createvolume */
export type AccessMode = (typeof accessModes)[number];

/** How a volume is to be used. */
export interface Usage {
  readonly mode: AccessMode;
  /** The pod's fsGroup; undefined: none, or unknown. */
  readonly gid: number | undefined;
}

/** Without MULTI_NODE_SINGLE_WRITER: nothing would restrict all nodes but one to reading. */
export const accessModes = [
  'MULTI_NODE_MULTI_WRITER',
  'MULTI_NODE_READER_ONLY',
  'SINGLE_NODE_MULTI_WRITER',
  'SINGLE_NODE_READER_ONLY',
  'SINGLE_NODE_SINGLE_WRITER',
  'SINGLE_NODE_WRITER',
] as const;

/** Their names in claims, if they have one: https://kubernetes-csi.github.io/docs/access-modes.html */
const IN_CLAIMS: Readonly<Partial<Record<AccessMode, string>>> = {
  MULTI_NODE_MULTI_WRITER: 'ReadWriteMany',
  MULTI_NODE_READER_ONLY: 'ReadOnlyMany',
  SINGLE_NODE_MULTI_WRITER: 'ReadWriteOnce',
  SINGLE_NODE_SINGLE_WRITER: 'ReadWriteOncePod',
  SINGLE_NODE_WRITER: 'ReadWriteOnce',
};

/** As a claim's author writes it: "ReadWriteOnce". */
export function nameInClaims(mode: AccessMode): string {
  return IN_CLAIMS[mode] ?? mode;
}

/**
 * `reach`: a volume of catalog maps is usable everywhere, because each node has its own maps of these names; other volumes live in one
 * node's memory. Throws INVALID_ARGUMENT naming the unsupported field of the claim or the pod.
 */
export function parseVolumeCapability(capability: VolumeCapability | null, reach: 'everywhere' | 'node'): Usage {
  if (capability === null) throw invalidArgument('volume_capability', 'required');
  const { block, mount, accessMode } = capability;
  if (block) throw invalidArgument('volumeMode', 'Block is not supported; use Filesystem');
  if (!mount) throw invalidArgument('volume_capability', 'an access type is required: mount');
  const mode = parseMode(accessMode?.mode ?? Mode.UNKNOWN, reach);
  const { fsType, mountFlags, volumeMountGroup } = mount;
  if (fsType !== '' && fsType !== 'bpf')
    throw invalidArgument('fsType', `${quote(fsType)} is not supported; leave it out, or write "bpf"`);
  if (mountFlags.length > 0)
    throw invalidArgument(
      'mountOptions',
      `none is supported, but ${quote(mountFlags.join(','))} is given; leave them out`,
    );
  return { mode, gid: parseGroup(volumeMountGroup) };
}

export function isReaderOnly(mode: AccessMode): boolean {
  return mode.endsWith('_READER_ONLY');
}

/** Whether the volume may have only one target path at a time. */
export function isSingleTarget(mode: AccessMode): boolean {
  return mode.startsWith('SINGLE_NODE_') && mode !== 'SINGLE_NODE_MULTI_WRITER';
}

function parseMode(number: number, reach: 'everywhere' | 'node'): AccessMode {
  const mode = accessModes.find((each) => Mode[each] === number);
  if (mode === undefined) {
    const name = Object.entries(Mode).find(([, each]) => each === number)?.[0] ?? String(number);
    throw invalidArgument('accessModes', `${name} is not supported; use ReadWriteOnce`);
  }
  if (reach === 'node' && mode.startsWith('MULTI_NODE_')) {
    throw invalidArgument(
      'accessModes',
      `${nameInClaims(mode)}: the volume lives in one node's memory; use ReadWriteOnce, which all pods of that node may mount`,
    );
  }
  return mode;
}

function parseGroup(text: string): number | undefined {
  if (text === '') return undefined;
  const gid = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  // 2^32-1 is -1 for chown(2), which means: do not change.
  if (!(gid < 0xffffffff)) throw invalidArgument('fsGroup', `${quote(text)} is no group id: 0 to 4294967294`);
  return gid;
}
