import { isDeepStrictEqual } from 'node:util';
import { type FileChange, FileChange_Kind as Kind } from '../rpc/pinner.ts';
import { quote } from '../text.ts';
import type { EventReason } from './pod-events.ts';
import type { BpfMaps } from './publish-outcome.ts';
import type { PublishRequest } from './publish-request.ts';
import type { Origins } from './published.ts';
import { volumeName } from './volume-reference.ts';

/** A change of a running pod's volume, for an event. */
export interface VolumeChange {
  readonly reason: EventReason;
  /** One or two sentences. */
  readonly note: string;
  /** How many files changed. */
  readonly files: number;
}

/** Files that a note names; the others are counted. */
const MAX_NAMED = 8;

const SEEN =
  'Containers with mountPropagation: HostToContainer see it now; others keep what they had, also for writing, until they restart. What a process has open stays open.';

/** The event's reason, and what its note says after the names of the files. */
type ChangeText = readonly [reason: EventReason, what: string];

const CHANGE_TEXTS = {
  replaced: ['MapReplaced', 'became another map at its source'],
  redefined: ['MapReplaced', 'is another map, because its BpfMap has another source'],
  pinned: ['MapReplaced', 'was pinned'],
  unpinned: ['MapReplaced', 'was unpinned'],
  renamed: ['MapRenamed', 'now, by the fileName of its BpfMap'],
  revoked: ['MapAccessRevoked', 'is not granted any more, or no BpfMap has this fileName'],
  readOnly: ['MapAccessRevoked', 'may only be read now'],
  restored: ['MapAccessRestored', 'is granted again'],
  back: ['MapAccessRestored', 'is there again, perhaps as another map than before'],
  writable: ['MapAccessRestored', 'may be written again'],
} as const satisfies Readonly<Record<string, ChangeText>>;

/**
 * The differences between two generations of a volume, as at most one change for each reason. `before`, `now`: the BpfMaps that its files
 * came from, and come from. A workspace's pods pin and unpin files themselves, which revokes nothing.
 */
export function toVolumeChanges(
  { type, targetPath }: Pick<PublishRequest, 'type' | 'targetPath'>,
  changes: readonly FileChange[],
  before: Origins,
  now: BpfMaps,
): readonly VolumeChange[] {
  if (changes.length === 0) return [];
  const files = new Map<ChangeText, Set<string>>();
  const classify = type === 'workspace' ? ofWorkspace : ofMaps(before, now);
  for (const change of changes) {
    for (const [what, file] of classify(change))
      files.set(CHANGE_TEXTS[what], (files.get(CHANGE_TEXTS[what]) ?? new Set()).add(file));
  }
  const reasons = new Set(Object.values(CHANGE_TEXTS).map(([reason]) => reason));
  return [...reasons].flatMap((reason): readonly VolumeChange[] => {
    const texts = Object.values(CHANGE_TEXTS).flatMap((one) => {
      const about = one[0] === reason ? files.get(one) : undefined;
      return about === undefined ? [] : { about: [...about], what: one[1] };
    });
    if (texts.length === 0) return [];
    const text = texts.map(({ about, what }) => `${list(about)} ${what}`).join(', ');
    const count = texts.reduce((sum, { about }) => sum + about.length, 0);
    return [{ reason, note: `In volume ${quote(volumeName(targetPath))}, ${text}. ${SEEN}`, files: count }];
  });
}

/** A grant was withdrawn, and the volume stays. */
export function delegationRevoked({ targetPath }: Pick<PublishRequest, 'targetPath'>): VolumeChange {
  const note =
    `The pod may not use the delegation of volume ${quote(volumeName(targetPath))} any more. Its containers that start from now on can make ` +
    'no BPF token. A token that it has works until the pod ends, and its programs stay: delete the pod to take them away.';
  return { reason: 'DelegationRevoked', note, files: 1 };
}

type Found = readonly (readonly [what: keyof typeof CHANGE_TEXTS, file: string])[];

function ofWorkspace({ path, kind }: FileChange): Found {
  const file = quote(path);
  if (kind === Kind.ADDED) return [['pinned', file]];
  if (kind === Kind.REMOVED) return [['unpinned', file]];
  return [['replaced', file]];
}

function ofMaps({ last, ever }: Origins, now: BpfMaps): (change: FileChange) => Found {
  const [wasOf, isOf] = [byFileName(last), byFileName(now)];
  return ({ path, kind }) => {
    const file = quote(path);
    if (kind === Kind.MADE_WRITABLE) return [['writable', file]];
    if (kind === Kind.MADE_READ_ONLY) return [['readOnly', file]];
    // The file's former BpfMap (old), and as it is now (after); its present BpfMap (next), and as it was (before).
    const [old, next] = [wasOf.get(path), isOf.get(path)];
    const [after, before] = [now.get(old?.name ?? ''), ever.get(next?.name ?? '')];
    const moved = (from: string, to: string) => ['renamed', `${quote(from)} is called ${quote(to)}`] as const;
    const left: Found =
      old === undefined || old.name === next?.name
        ? []
        : [after === undefined ? ['revoked', file] : moved(path, after.fileName)];
    if (kind === Kind.REMOVED) return left.length > 0 ? left : [['revoked', file]];
    if (next === undefined) return [...left, [kind === Kind.ADDED ? 'back' : 'replaced', file]];
    if (before === undefined) return [...left, [kind === Kind.ADDED ? 'back' : 'replaced', file]];
    if (before.fileName !== path) return [...left, moved(before.fileName, path)];
    if (!isDeepStrictEqual(before.source, next.source)) return [...left, ['redefined', file]];
    return [...left, [kind === Kind.ADDED ? 'restored' : 'replaced', file]];
  };
}

function byFileName(maps: BpfMaps): BpfMaps {
  return new Map([...maps.values()].map((map) => [map.fileName, map]));
}

function list(about: readonly string[]): string {
  const named = about.slice(0, MAX_NAMED);
  if (about.length > MAX_NAMED) named.push(`${about.length - MAX_NAMED} more`);
  return named.join(', ');
}
