import { attribute, counts, type Driver, load } from './load-client.ts';
import { inTurn, medianOfRounds } from './rounds.ts';
import { MAPS, mapsAttribute, SHAPES, type Shape } from './shape.ts';

/** How often something is measured. */
export interface Effort {
  readonly rounds: number;
  /** Calls of each kind in a round. */
  readonly calls: number;
}

type Call = 'publish' | 'unpublish' | 'republish';

/** Medians in microseconds, and what they are of an empty call. `ninetyNinth`: the 99th percentile of publish. */
export type CallFigures = Readonly<Record<'empty' | 'ninetyNinth' | Call | `${Call}OfEmpty`, number>>;

/** An empty call, a pair, and an unchanged republish, of each shape. */
export function measureCalls(driver: Driver, effort: Effort): Promise<readonly CallFigures[]> {
  const measure = async (shape: Shape): Promise<CallFigures> => {
    const args = counts(shape.callers, effort.calls);
    const context = attribute('maps', mapsAttribute(MAPS, shape.access));
    const { empty } = await load<'empty'>(driver, ['--call', 'empty', ...args]);
    const { publish, unpublish } = await load<'publish' | 'unpublish'>(driver, [...context, ...args]);
    const { republish } = await load<'republish'>(driver, ['--call', 'republish', ...context, ...args]);
    return {
      empty: empty.p50_us,
      publish: publish.p50_us,
      unpublish: unpublish.p50_us,
      republish: republish.p50_us,
      publishOfEmpty: publish.p50_us / empty.p50_us,
      unpublishOfEmpty: unpublish.p50_us / empty.p50_us,
      republishOfEmpty: republish.p50_us / empty.p50_us,
      ninetyNinth: publish.p99_us,
    };
  };
  return medianOfRounds(effort.rounds, () => inTurn(SHAPES, measure));
}
