import { isPlainPath } from '../catalog/names.ts';
import { invalidArgument } from '../errors.ts';
import { quote } from '../text.ts';

/** Which volume, and where: what every request about a volume says. */
export interface VolumeReference {
  readonly volumeId: string;
  readonly targetPath: string;
}

/** Throws INVALID_ARGUMENT naming the field of the CSI request: the kubelet makes both, no YAML holds them. */
export function parseVolumeReference({ volumeId, targetPath }: VolumeReference): VolumeReference {
  if (volumeId === '') throw invalidArgument('volume_id', 'required');
  if (!/^[A-Za-z0-9._-]{1,128}$/.test(volumeId)) {
    throw invalidArgument('volume_id', `${quote(volumeId)} is not 1 to 128 of A-Z a-z 0-9 . _ -`);
  }
  if (targetPath === '') throw invalidArgument('target_path', 'required');
  if (!isPlainPath(targetPath)) {
    throw invalidArgument(
      'target_path',
      `${quote(targetPath)} is not an absolute path of at most 4095 bytes without ".", ".." or empty elements`,
    );
  }
  return { volumeId, targetPath };
}
