import type { PodIdentity } from '../access/access.ts';
import { type DeniedMap, denial } from '../access/authorize.ts';
import { CallError, Code, faultIn, invalidArgument } from '../errors.ts';
import { noSuchMap } from '../maps/no-such-map.ts';
import type { MapRequest } from '../request/map-list.ts';
import { Access, type MapRefusal, type VolumeMap } from '../rpc/pinner.ts';
import type { MapLook } from './map-look.ts';

/** What a volume should contain, as far as that can be decided without the kernel. */
export interface VolumePlan {
  /** A file without a source keeps the same BpfMap's map that the volume has now, if any, with no more access than it has. */
  readonly files: readonly VolumeMap[];
  /** Every map that is not published as requested. A new pod gets the first one's error, a running pod the other maps. */
  readonly refusals: readonly Refusal[];
}

/** Why a map is not published as requested. */
export interface Refusal {
  /** The BpfMap's name. */
  readonly map: string;
  readonly reason: RefusalReason;
  /** The error for a new pod. All denied maps have the same. */
  readonly error: CallError;
  /** Only of a denied map. */
  readonly denied?: DeniedMap;
}

/** No such BpfMap; not granted; two maps want the same file; a source that does not exist yet; an unusable source; a bug in the driver. */
export const REFUSAL_REASONS = ['absent', 'denied', 'fileName', 'sourceMissing', 'sourceUnusable', 'fault'] as const;
export type RefusalReason = (typeof REFUSAL_REASONS)[number];

/** `names`: all BpfMaps, to suggest some in place of one that does not exist. */
export function planVolume(looks: readonly MapLook[], pod: PodIdentity, names: () => readonly string[]): VolumePlan {
  const absent = looks
    .filter(({ map }) => map === undefined)
    .map(
      ({ request: { name } }): Refusal => ({
        map: name,
        reason: 'absent',
        error: noSuchMap(name, names()),
      }),
    );
  const denied = looks.flatMap(({ denied }) => denied ?? []);
  const isAll = looks.every(({ map, denied, verb }) => map === undefined || denied !== undefined || verb !== undefined);
  const denials = denied.map(
    (one): Refusal => ({ map: one.map.name, reason: 'denied', error: denial(pod, denied, isAll), denied: one }),
  );
  const files: VolumeMap[] = [];
  const unsourced: Refusal[] = [];
  for (const { map, verb, source } of looks) {
    if (map === undefined || verb === undefined) continue;
    const { name, uid, fileName } = map;
    const access = verb === 'write' ? Access.READ_WRITE : Access.READ_ONLY;
    if (source instanceof CallError) unsourced.push({ map: name, reason: reasonOf(source), error: source });
    const found = source === undefined || source instanceof CallError ? null : source;
    files.push({ name, ...(uid !== undefined && { uid }), fileName, access, source: found });
  }
  const claims = Map.groupBy(files, ({ fileName }) => fileName);
  const contested = [...claims.values()].flatMap(([first, ...others]) =>
    others.map(({ name }): Refusal => {
      const both = `"${first?.name}" and "${name}" both have the fileName "${first?.fileName}"; use one volume for each`;
      return { map: name, reason: 'fileName', error: invalidArgument('volumeAttributes.maps', both) };
    }),
  );
  const isContested = ({ fileName }: VolumeMap) => (claims.get(fileName)?.length ?? 0) > 1;
  // When several maps want one file, the map that already has it keeps it, and no other gets it.
  const planned =
    contested.length === 0 ? files : files.map((file) => (isContested(file) ? { ...file, source: null } : file));
  return { files: planned, refusals: [...absent, ...denials, ...contested, ...unsourced] };
}

/** For a source that the pinner did not find. */
export function fromPinner({ name, code, message }: MapRefusal): Refusal {
  const error = new CallError(code, message);
  return { map: name, reason: reasonOf(error), error };
}

/** The map because of which the pinner publishes nothing. Undefined: the error is not about one of `requested`. */
export function refusalIn(error: CallError, requested: readonly MapRequest[]): Refusal | undefined {
  const about = requested.find(({ name }) => error.message.startsWith(`map "${name}": `));
  return about && { map: about.name, reason: reasonOf(error), error };
}

function reasonOf(error: CallError): RefusalReason {
  if (faultIn(error) !== undefined) return 'fault';
  return error.code === Code.UNAVAILABLE ? 'sourceMissing' : 'sourceUnusable';
}
