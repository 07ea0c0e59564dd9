import type { BpfMap } from '../maps/catalog.ts';
import type { PublishRequest } from './publish-request.ts';

/** BpfMaps by name, as they were at one moment. */
export type BpfMaps = ReadonlyMap<string, BpfMap>;

/** Where the files of a volume come from. */
export interface Origins {
  /** Those of the BpfMaps that the volume was to have when it was published last. */
  readonly last: BpfMaps;
  /** All that it was ever to have, each as it was then. */
  readonly ever: BpfMaps;
}

/**
 * What is known of the volumes of this node that the kernel does not know, by target path, whichever way that leads to the kubelet's
 * directory: for health and texts, and for nothing that anybody is given. Empty after a restart; the kubelet fills it again when it
 * repeats its requests (requiresRepublish).
 */
export interface Published {
  /** `maps`: what the volume was to have now; of one that does not come from the catalog: none. */
  add(request: PublishRequest, maps: BpfMaps): void;
  remove(targetPath: string): void;
  at(targetPath: string): PublishRequest | undefined;
  originsAt(targetPath: string): Origins;
}

const NONE: Origins = { last: new Map(), ever: new Map() };

/** For one process. */
export function createPublished(): Published {
  const known = new Map<string, { readonly request: PublishRequest; readonly origins: Origins }>();
  const at = (targetPath: string) => known.get(inKubeletDirectory(targetPath));
  const originsAt = (targetPath: string) => at(targetPath)?.origins ?? NONE;
  return {
    add(request, last) {
      const { targetPath } = request;
      const ever = new Map([...originsAt(targetPath).ever, ...last]);
      known.set(inKubeletDirectory(targetPath), { request, origins: { last, ever } });
    },
    remove: (targetPath) => void known.delete(inKubeletDirectory(targetPath)),
    at: (targetPath) => at(targetPath)?.request,
    originsAt,
  };
}

/** The kubelet names its directory as it was told to, and the pinner as it is without symbolic links. */
function inKubeletDirectory(targetPath: string): string {
  return /\/pods\/[^/]+\/volumes\/[^/]+\/[^/]+\/mount$/.exec(targetPath)?.[0] ?? targetPath;
}
