import type { PodIdentity } from '../access/access.ts';
import { denial } from '../access/authorize.ts';
import { CallError, Code, faultIn, invalidArgument, notFound } from '../errors.ts';
import { didYouMean } from '../maps/nearest.ts';
import { Access, type MapRefusal, type VolumeMap } from '../rpc/pinner.ts';
import type { MapLook } from './map-look.ts';

/** What a volume shall hold, as far as that can be told without its node's kernel. */
export interface VolumePlan {
  /** Without a source: what the volume has of the same BpfMap stays, with no more access than it has, if it has it at all. */
  readonly files: readonly VolumeMap[];
  /** All that is not as the pod asked. A new pod hears of the first; a running one does with the rest. */
  readonly refusals: readonly Refusal[];
}

/** Why a map is not in a volume as its pod asked. */
export interface Refusal {
  /** The BpfMap. */
  readonly map: string;
  readonly reason: RefusalReason;
  /** What a new pod is told; of several maps that it may not have, the same. */
  readonly error: CallError;
}

/**
 * No such BpfMap; not granted; two maps want one file; a source that is not there yet; one that is of no use; a fault of the driver.
 */
export const REFUSAL_REASONS = ['absent', 'denied', 'fileName', 'sourceMissing', 'sourceUnusable', 'fault'] as const;
export type RefusalReason = (typeof REFUSAL_REASONS)[number];

/** Decides. `names`: all BpfMaps, of which the nearest are named in place of one that there is not. */
export function planVolume(looks: readonly MapLook[], pod: PodIdentity, names: () => readonly string[]): VolumePlan {
  const absent = looks
    .filter(({ map }) => map === undefined)
    .map(
      ({ asked: { name } }): Refusal => ({
        map: name,
        reason: 'absent',
        error: notFound(`there is no BpfMap "${name}"${didYouMean(name, names())}`),
      }),
    );
  const denied = looks.flatMap(({ denied }) => denied ?? []);
  const isAll = looks.every(({ map, denied, verb }) => map === undefined || denied !== undefined || verb !== undefined);
  const denials = denied.map(
    ({ map: { name } }): Refusal => ({ map: name, reason: 'denied', error: denial(pod, denied, isAll) }),
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
  // Of a file that several want, whichever has it keeps it, and none gets it.
  const planned =
    contested.length === 0 ? files : files.map((file) => (isContested(file) ? { ...file, source: null } : file));
  return { files: planned, refusals: [...absent, ...denials, ...contested, ...unsourced] };
}

/** What the pinner did not find. */
export function fromPinner({ name, code, message }: MapRefusal): Refusal {
  const error = new CallError(code, message);
  return { map: name, reason: reasonOf(error), error };
}

function reasonOf(error: CallError): RefusalReason {
  if (faultIn(error) !== undefined) return 'fault';
  return error.code === Code.UNAVAILABLE ? 'sourceMissing' : 'sourceUnusable';
}
