import type { PodIdentity, Verb } from '../access/access.ts';
import { authorize, type DeniedMap, isDenied, type WantedMap } from '../access/authorize.ts';
import { CallError } from '../errors.ts';
import type { BpfMap } from '../maps/catalog.ts';
import type { MapRequest } from '../request/map-list.ts';
import type { Source } from '../rpc/pinner.ts';
import type { Policy } from './policy.ts';

/** What is known of a requested map at one moment. */
export interface MapLook {
  readonly request: MapRequest;
  /** Undefined: no such BpfMap. */
  readonly map: BpfMap | undefined;
  /** Why the request is denied. Undefined with a `map` and no `verb`: not checked, because enough other maps were denied. */
  readonly denied: DeniedMap | undefined;
  /** The access that the pod gets, at most what it asked for: read, perhaps, if write is denied. Undefined: none. */
  readonly verb: Verb | undefined;
  /** What grants `verb`; see Decision. */
  readonly rule: string | undefined;
  /** The source, or why there is none; undefined without a `verb`. */
  readonly source: Source | CallError | undefined;
}

/**
 * Looks at every map, in the order of the request. Throws errors that are not about a single map. `isEnough`: whether a few refusals
 * suffice, so that the other maps need not be checked.
 */
export async function lookAtMaps(
  requested: readonly MapRequest[],
  pod: PodIdentity,
  { catalog, access, resolveSource }: Pick<Policy, 'catalog' | 'access' | 'resolveSource'>,
  signal: AbortSignal,
  isEnough: () => Promise<boolean>,
): Promise<readonly MapLook[]> {
  const found = requested.map((request) => ({ request, map: catalog.find(request.name) }));
  const wanted = found.flatMap(({ request: { verb }, map }) => (map === undefined ? [] : { map, verb }));
  const verdicts = await authorize(wanted, pod, access, signal, isEnough);
  const toRead = verdicts.flatMap((verdict): readonly WantedMap[] =>
    isDenied(verdict) && verdict.verb === 'write' ? [{ map: verdict.map, verb: 'read' }] : [],
  );
  const readVerdicts = toRead.length === 0 ? [] : await authorize(toRead, pod, access, signal);
  const [answers, readAnswers] = [verdicts.values(), readVerdicts.values()];
  const looks: MapLook[] = [];
  for (const { request, map } of found) {
    const verdict = map === undefined ? undefined : answers.next().value;
    const denied = isDenied(verdict) ? verdict : undefined;
    const given = denied?.verb === 'write' ? readAnswers.next().value : verdict;
    if (map === undefined || given === undefined || isDenied(given)) {
      looks.push({ request, map, denied, verb: undefined, rule: undefined, source: undefined });
      continue;
    }
    const { verb, rule } = given;
    let source: Source | CallError;
    try {
      const resolved = resolveSource(map);
      source = resolved instanceof Promise ? await resolved : resolved;
    } catch (error) {
      source = CallError.from(error);
    }
    looks.push({ request, map, denied, verb, rule, source });
  }
  return looks;
}
