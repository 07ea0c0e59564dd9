import { createHash } from 'node:crypto';

/** What fits a Kubernetes object's name and is not what a hash below looks like. */
const PLAIN = /^(?!v-[0-9a-f]{32}$)[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** The name of the BpfVolume object for the volume that CreateVolume calls `volumeName`: itself where that is possible. */
export function objectName(volumeName: string): string {
  if (PLAIN.test(volumeName)) return volumeName;
  return `v-${createHash('sha256').update(volumeName).digest('hex').slice(0, 32)}`;
}

/**
 * CSI's volume_id: the object's name, so that people find it, and the beginning of its uid, so that what a node keeps of a
 * deleted volume never passes for a later one of the same name.
 */
export function volumeId(name: string, uid: string): string {
  return `${name}-${uid.slice(0, 8)}`;
}

/** The object's name in a volume_id of ours; undefined if it is none. */
export function nameInVolumeId(id: string): string | undefined {
  return /^([a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)-[0-9a-f]{8}$/.exec(id)?.[1];
}
