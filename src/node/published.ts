import { PublishVolumeResponse_Outcome as Outcomes } from '../rpc/pinner.ts';
import type { BpfMaps, PublishOutcome } from './publish-outcome.ts';
import type { PublishRequest } from './publish-request.ts';
import type { RefusedMap } from './refused-map.ts';

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
  add(request: PublishRequest, outcome: AddedOutcome): void;
  remove(targetPath: string): void;
  at(targetPath: string): PublishedVolume | undefined;
  originsAt(targetPath: string): Origins;
}

/** What is kept of how a volume was published. */
type AddedOutcome = Pick<PublishOutcome, 'outcome' | 'maps' | 'refused' | 'isRevoked'>;

/** A volume that was published since the start of the node plugin. */
export interface PublishedVolume {
  readonly request: PublishRequest;
  readonly origins: Origins;
  /** When the pod got it; undefined: before the start. */
  readonly since: Date | undefined;
  /** What the pod did not get as it asked for at the last publish: the first MAX_REFUSED. */
  readonly refused: readonly RefusedMap[];
  /** How many more. */
  readonly refusedLeftOut: number;
  /** At the last publish, the pod might not use its delegation any more. */
  readonly isRevoked: boolean;
}

/** A running pod may lose each of its 256 maps; the memory of all volumes of a node has to fit the process. */
const MAX_REFUSED = 16;

const NONE: Origins = { last: new Map(), ever: new Map() };

/** Empty at first. */
export function createPublished(): Published {
  const known = new Map<string, PublishedVolume>();
  const at = (targetPath: string) => known.get(inKubeletDirectory(targetPath));
  const originsAt = (targetPath: string) => at(targetPath)?.origins ?? NONE;
  return {
    add(request, { outcome, maps: last, refused, isRevoked = false }) {
      const { targetPath, volumeId } = request;
      const before = at(targetPath);
      const ever = new Map([...originsAt(targetPath).ever, ...last]);
      const sinceBefore = before?.request.volumeId === volumeId ? before.since : undefined;
      known.set(inKubeletDirectory(targetPath), {
        request,
        origins: { last, ever },
        since: outcome === Outcomes.CREATED ? new Date() : sinceBefore,
        refused: refused.slice(0, MAX_REFUSED),
        refusedLeftOut: Math.max(0, refused.length - MAX_REFUSED),
        isRevoked,
      });
    },
    remove: (targetPath) => void known.delete(inKubeletDirectory(targetPath)),
    at,
    originsAt,
  };
}

/** The kubelet uses the path of its directory as configured, the pinner the one without symbolic links. */
function inKubeletDirectory(targetPath: string): string {
  return /\/pods\/[^/]+\/volumes\/[^/]+\/[^/]+\/mount$/.exec(targetPath)?.[0] ?? targetPath;
}
