import type { EventReason } from '../kubernetes/events.ts';
import { type FileChange, FileChange_Kind as Kind } from '../rpc/generated/pinner.ts';
import { quote } from '../text.ts';
import type { PublishRequest } from './publish-request.ts';

/** What to tell of a running pod's volume. */
export interface VolumeChange {
  readonly reason: EventReason;
  /** One sentence for people, or two. */
  readonly note: string;
  /** How many files it is about. */
  readonly files: number;
}

/** Files that a note names; the others are counted. */
const MOST_NAMED = 8;

const SEEN =
  'Containers with mountPropagation: HostToContainer see it now, others when they restart; what a process has open stays open.';

/**
 * The differences between two generations of a volume, as at most one change for each reason. Files of a workspace come and go as
 * its owner likes, which revokes nothing.
 */
export function toVolumeChanges(
  { type, targetPath }: Pick<PublishRequest, 'type' | 'targetPath'>,
  changes: readonly FileChange[],
): readonly VolumeChange[] {
  const volume = `volume "${volumeName(targetPath)}"`;
  const paths = (kind: Kind) => changes.filter((change) => change.kind === kind).map(({ path }) => path);
  const [replaced, added, removed] = [paths(Kind.MAP_REPLACED), paths(Kind.ADDED), paths(Kind.REMOVED)];
  const [writable, readOnly] = [paths(Kind.MADE_WRITABLE), paths(Kind.MADE_READ_ONLY)];
  const isWorkspace = type === 'workspace';
  const found: VolumeChange[] = [];
  const add = (reason: EventReason, parts: readonly (readonly [paths: readonly string[], what: string])[]) => {
    const said = parts.filter(([files]) => files.length > 0);
    if (said.length === 0) return;
    const text = said.map(([files, what]) => `${list(files)} ${what}`).join(', ');
    const files = said.reduce((sum, [files]) => sum + files.length, 0);
    found.push({ reason, note: `In ${volume}, ${text}. ${SEEN}`, files });
  };
  add('MapReplaced', [
    [replaced, 'became another map at its source'],
    ...(isWorkspace
      ? ([
          [added, 'was pinned'],
          [removed, 'was unpinned'],
        ] as const)
      : []),
  ]);
  if (isWorkspace) return found;
  add('MapAccessRevoked', [
    [removed, 'is not granted any more, or has no BpfMap'],
    [readOnly, 'may only be read now'],
  ]);
  add('MapAccessRestored', [
    [added, 'is granted again'],
    [writable, 'may be written again'],
  ]);
  return found;
}

/** As the pod calls it, or as the PersistentVolume is called: the kubelet publishes at …/<name>/mount. */
function volumeName(targetPath: string): string {
  return targetPath.split('/').at(-2) ?? targetPath;
}

function list(paths: readonly string[]): string {
  const named = paths.slice(0, MOST_NAMED).map(quote);
  if (paths.length > MOST_NAMED) named.push(`${paths.length - MOST_NAMED} more`);
  return named.join(', ');
}
