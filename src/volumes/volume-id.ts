import { createHash } from 'node:crypto';

/** Names that a Kubernetes object may have and that do not look like the hash below. */
const PLAIN = /^(?!v-[0-9a-f]{32}$)[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** The name of the BpfVolume for the volume that is `volumeName` in CreateVolume: the same if it is valid, else a hash. */
export function objectName(volumeName: string): string {
  if (PLAIN.test(volumeName)) return volumeName;
  return `v-${createHash('sha256').update(volumeName).digest('hex').slice(0, 32)}`;
}

/**
 * CSI's volume_id: the object's name, for people to find it, and the beginning of its uid, so that what a node keeps of a deleted volume is
 * never taken for a later volume of the same name.
 */
export function volumeId(name: string, uid: string): string {
  return `${name}-${uid.slice(0, 8)}`;
}

/** The object's name in a volume_id of this driver; undefined for any other id. */
export function nameInVolumeId(id: string): string | undefined {
  return /^([a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)-[0-9a-f]{8}$/.exec(id)?.[1];
}
