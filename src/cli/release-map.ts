import { nameInStore } from '../maps/created-map.ts';
import { createPinner } from '../pinner/pinner.ts';

/** Which map to release. The socket is an absolute path. */
export interface ReleaseMapConfig {
  /** Of the BpfMap. */
  readonly name: string;
  readonly pinnerEndpoint: string;
}

/** How long the pinner may search for a volume that has the map. */
const TIMEOUT_MS = 60_000;

/**
 * Releases the map that the driver has made on this node for a BpfMap with source.created; succeeds if there is none. Throws a CallError,
 * UNAVAILABLE while a volume has the map.
 */
export async function releaseMap({ name, pinnerEndpoint }: ReleaseMapConfig): Promise<void> {
  const pinner = createPinner(pinnerEndpoint);
  try {
    await pinner.releaseMap({ name: nameInStore(name) }, { deadline: Date.now() + TIMEOUT_MS });
  } finally {
    pinner.close();
  }
}
