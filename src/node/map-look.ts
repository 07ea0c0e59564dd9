import type { PodIdentity, Verb } from '../access/access.ts';
import { authorize, type DeniedMap, type WantedMap } from '../access/authorize.ts';
import { CallError } from '../errors.ts';
import type { BpfMap } from '../maps/catalog.ts';
import type { MapRequest } from '../request/map-list.ts';
import type { Source } from '../rpc/pinner.ts';
import type { Policy } from './policy.ts';

/** What is known at one moment of a map that a pod asks for. */
export interface MapLook {
  readonly asked: MapRequest;
  /** Undefined: there is no BpfMap of that name. */
  readonly map: BpfMap | undefined;
  /** What stands against what was asked. Undefined, though the pod may do nothing: that was enough, and this was not asked. */
  readonly denied: DeniedMap | undefined;
  /** What the pod may do, no more than it asked: to read, perhaps, what it may not write. Undefined: nothing. */
  readonly verb: Verb | undefined;
  /** Why there is no source, where `verb` is given and there is none. */
  readonly source: Source | CallError | undefined;
}

/**
 * Looks at every map, in the order in which they are asked for. Throws what says nothing of a single map. `isEnough`: whether a few
 * refusals are all that anybody wants to know.
 */
export async function lookAtMaps(
  requested: readonly MapRequest[],
  pod: PodIdentity,
  { catalog, access, resolveSource }: Pick<Policy, 'catalog' | 'access' | 'resolveSource'>,
  signal: AbortSignal,
  isEnough: () => Promise<boolean>,
): Promise<readonly MapLook[]> {
  const found = requested.map((asked) => ({ asked, map: catalog.find(asked.name) }));
  const wanted = found.flatMap(({ asked: { verb }, map }) => (map === undefined ? [] : { map, verb }));
  const verdicts = await authorize(wanted, pod, access, signal, isEnough);
  const toRead = verdicts.flatMap((verdict): readonly WantedMap[] =>
    typeof verdict === 'object' && verdict.verb === 'write' ? [{ map: verdict.map, verb: 'read' }] : [],
  );
  const readVerdicts = toRead.length === 0 ? [] : await authorize(toRead, pod, access, signal);
  const [answers, readAnswers] = [verdicts.values(), readVerdicts.values()];
  const looks: MapLook[] = [];
  for (const { asked, map } of found) {
    const verdict = map === undefined ? undefined : answers.next().value;
    const denied = typeof verdict === 'object' ? verdict : undefined;
    const isReadable = denied?.verb === 'write' && readAnswers.next().value === 'granted';
    const verb = verdict === 'granted' ? asked.verb : isReadable ? 'read' : undefined;
    if (map === undefined || verb === undefined) {
      looks.push({ asked, map, denied, verb: undefined, source: undefined });
      continue;
    }
    let source: Source | CallError;
    try {
      const resolved = resolveSource(map);
      source = resolved instanceof Promise ? await resolved : resolved;
    } catch (error) {
      source = CallError.from(error);
    }
    looks.push({ asked, map, denied, verb, source });
  }
  return looks;
}
