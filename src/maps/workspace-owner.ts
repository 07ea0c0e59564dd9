import { quote } from '../text.ts';

/** The fields of source.workspace that name whose a workspace is, and the kinds of the objects. */
export const OWNER_KINDS = {
  daemonSet: 'DaemonSet',
  deployment: 'Deployment',
  statefulSet: 'StatefulSet',
  serviceAccount: 'ServiceAccount',
} as const;

/** The fields alone. A valid source.workspace has one of them, or `claim`. */
export const OWNER_FIELDS = Object.keys(OWNER_KINDS) as readonly (keyof typeof OWNER_KINDS)[];

/** The kind of the object that such a field names. */
export type OwnerKind = (typeof OWNER_KINDS)[keyof typeof OWNER_KINDS];

/** Whose pods: those of a workload, or those that run as a service account. */
export interface WorkspaceOwner {
  readonly kind: OwnerKind;
  readonly namespace: string;
  readonly name: string;
}

/** `volume "pins" of DaemonSet net/agent` */
export function ownerText({ kind, namespace, name }: WorkspaceOwner, volume: string): string {
  return `volume ${quote(volume)} of ${kind} ${namespace}/${name}`;
}
