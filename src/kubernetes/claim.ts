/** A PersistentVolumeClaim. */
export interface Claim {
  readonly namespace: string;
  readonly name: string;
}

/** As people write it: "prod/agent". */
export function claimName({ namespace, name }: Claim): string {
  return `${namespace}/${name}`;
}

export const CLAIMS = { group: '', version: 'v1', plural: 'persistentvolumeclaims' };
