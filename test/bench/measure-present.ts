import { attribute, counts, type Driver, load } from './load-client.ts';
import type { Effort } from './measure-calls.ts';
import { inTurn, medianOfRounds } from './rounds.ts';
import { MAPS, mapsAttribute, SHAPES, type Shape } from './shape.ts';

/** Microseconds of both calls on a node without other volumes, and on one with many. */
export type PresentFigures = Readonly<Record<'publishNone' | 'unpublishNone' | 'publish' | 'unpublish', number>>;

/** How many volumes are there on a node with many: ten times what a kubelet runs. */
export const PRESENT = 1000;

/** What the volumes that are there cost a publish and an unpublish, for each shape. */
export function measurePresent(driver: Driver, effort: Effort): Promise<readonly PresentFigures[]> {
  const measure = (shape: Shape) =>
    load<'publish' | 'unpublish'>(driver, [
      ...attribute('maps', mapsAttribute(MAPS, shape.access)),
      ...counts(shape.callers, effort.calls),
    ]);
  const others = (flag: '--leave' | '--remove') =>
    load(driver, [...attribute('maps', 'map0, map1:rw'), flag, `${PRESENT}`, '--callers', '8']);
  return medianOfRounds(effort.rounds, async () => {
    const none = await inTurn(SHAPES, measure);
    await others('--leave');
    const present = await inTurn(SHAPES, measure);
    await others('--remove');
    return present.map(({ publish, unpublish }, index) => ({
      publishNone: none[index]?.publish.p50_us ?? Number.NaN,
      unpublishNone: none[index]?.unpublish.p50_us ?? Number.NaN,
      publish: publish.p50_us,
      unpublish: unpublish.p50_us,
    }));
  });
}
