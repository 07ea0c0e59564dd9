import type { PublishRequest } from './publish-request.ts';

/**
 * What was asked for the volumes of this node, by target path, whichever way that leads to the kubelet's directory: what only the request says, not the kernel. Empty after a
 * restart; the kubelet fills it again when it repeats its requests (requiresRepublish).
 */
export interface Published {
  add(request: PublishRequest): void;
  remove(targetPath: string): void;
  at(targetPath: string): PublishRequest | undefined;
}

/** For one process. */
export function createPublished(): Published {
  const requests = new Map<string, PublishRequest>();
  return {
    add: (request) => void requests.set(inKubeletDirectory(request.targetPath), request),
    remove: (targetPath) => void requests.delete(inKubeletDirectory(targetPath)),
    at: (targetPath) => requests.get(inKubeletDirectory(targetPath)),
  };
}

/** The kubelet names its directory as it was told to, and the pinner as it is without symbolic links. */
function inKubeletDirectory(targetPath: string): string {
  return /\/pods\/[^/]+\/volumes\/[^/]+\/[^/]+\/mount$/.exec(targetPath)?.[0] ?? targetPath;
}
