/** A PersistentVolumeClaim. */
export interface Claim {
  readonly namespace: string;
  readonly name: string;
}
