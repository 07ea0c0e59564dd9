import { nameInStore } from '../maps/created-map.ts';
import { createPinner } from '../pinner/pinner.ts';

/** What to give up, and who keeps it. The socket is an absolute path. */
export interface ReleaseMapConfig {
  /** Of the BpfMap. */
  readonly name: string;
  readonly pinnerEndpoint: string;
}

/** How long the pinner may look for a volume that has the map. */
const TIMEOUT_MS = 60_000;

/**
 * Gives up a map that the driver has made on this node for a BpfMap with source.created; there being none is success. Throws
 * CallError: UNAVAILABLE while a volume has it.
 */
export async function releaseMap({ name, pinnerEndpoint }: ReleaseMapConfig): Promise<void> {
  const pinner = createPinner(pinnerEndpoint);
  try {
    await pinner.releaseMap({ name: nameInStore(name) }, { deadline: Date.now() + TIMEOUT_MS });
  } finally {
    pinner.close();
  }
}
