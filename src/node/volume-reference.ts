import { invalidArgument } from '../errors.ts';
import { isPlainPath } from '../maps/names.ts';
import { quote } from '../text.ts';

/** Which volume, and its target path. */
export interface VolumeReference {
  readonly volumeId: string;
  readonly targetPath: string;
}

/** The volume's name in the pod spec, or the PersistentVolume's: the kubelet publishes at …/<name>/mount. */
export function volumeName(targetPath: string): string {
  return targetPath.split('/').at(-2) ?? targetPath;
}

/** The uid of the pod; empty if the path is not of the kubelet's form. */
export function podUid(targetPath: string): string {
  return /\/pods\/([^/]+)\/volumes\/[^/]+\/[^/]+\/mount$/.exec(targetPath)?.[1] ?? '';
}

/** CSI's limit for an id. */
const MAX_ID_BYTES = 128;

const CONTROL = /\p{Cc}/u;

/** Throws INVALID_ARGUMENT naming the field of the CSI request: the kubelet sets both, and no YAML has them. */
export function parseVolumeReference({ volumeId, targetPath }: VolumeReference): VolumeReference {
  requireVolumeId(volumeId);
  if (targetPath === '') throw invalidArgument('target_path', 'required');
  if (!isPlainPath(targetPath)) {
    throw invalidArgument(
      'target_path',
      `${quote(targetPath)} is not an absolute path of at most 4095 bytes without ".", ".." or empty elements`,
    );
  }
  return { volumeId, targetPath };
}

/**
 * Throws INVALID_ARGUMENT for an invalid id. Whoever writes a PersistentVolume by hand may choose any id that CSI allows
 * (https://github.com/container-storage-interface/spec/blob/v1.13.0/spec.md#size-limits), except control characters.
 */
export function requireVolumeId(volumeId: string): void {
  if (volumeId === '') throw invalidArgument('volume_id', 'required');
  if (Buffer.byteLength(volumeId) > MAX_ID_BYTES || CONTROL.test(volumeId)) {
    throw invalidArgument(
      'volume_id',
      `${quote(volumeId)} is not 1 to ${MAX_ID_BYTES} bytes without control characters`,
    );
  }
}
