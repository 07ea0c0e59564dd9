/** A PersistentVolumeClaim. */
export interface Claim {
  readonly namespace: string;
  readonly name: string;
}

export const CLAIMS = { group: '', version: 'v1', plural: 'persistentvolumeclaims' };
