/** Leases, which are made to be renewed: https://kubernetes.io/docs/concepts/architecture/leases/ */
export const LEASES = { group: 'coordination.k8s.io', version: 'v1', plural: 'leases' };

/** Which Lease, and where. */
export interface LeaseKey {
  readonly namespace: string;
  readonly name: string;
}
