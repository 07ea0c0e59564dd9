import type { BpfMap } from '../maps/catalog.ts';
import type { PublishRequest } from './publish-request.ts';

/** BpfMaps by name, as they were at one moment. */
export type BpfMaps = ReadonlyMap<string, BpfMap>;

/** Which BpfMaps the files of a volume come from. */
export interface Origins {
  /** The BpfMaps of the last publish. */
  readonly last: BpfMaps;
  /** The BpfMaps of all publishes, each as it was last published. */
  readonly ever: BpfMaps;
}

/**
 * What is known of this node's volumes besides their mounts. The key is the target path below the kubelet's directory, whichever path leads
 * to that. Used for health and event texts, and never to decide what a pod gets. Empty after a restart, until the kubelet repeats its
 * requests (requiresRepublish).
 */
export interface Published {
  /** `maps`: the BpfMaps that the volume should have now; empty for a volume that does not come from the catalog. */
  add(request: PublishRequest, maps: BpfMaps): void;
  remove(targetPath: string): void;
  at(targetPath: string): PublishRequest | undefined;
  originsAt(targetPath: string): Origins;
}

const NONE: Origins = { last: new Map(), ever: new Map() };

/** Empty at first. */
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

/** The kubelet uses the path of its directory as configured, the pinner the one without symbolic links. */
function inKubeletDirectory(targetPath: string): string {
  return /\/pods\/[^/]+\/volumes\/[^/]+\/[^/]+\/mount$/.exec(targetPath)?.[0] ?? targetPath;
}
