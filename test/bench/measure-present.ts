import { attribute, counts, type Driver, load } from './load-client.ts';
import type { Effort } from './measure-calls.ts';
import { inTurn, medianOfRounds } from './rounds.ts';
import { MAPS, mapsAttribute, SHAPES, type Shape } from './shape.ts';

/** Microseconds of a call on a node without other volumes, and on one with many, and their ratio. */
export type PresentFigures = Readonly<Record<'none' | 'present' | 'presentOfNone', number>>;

/** How many volumes are there on a node with many: about ten times what a kubelet runs. */
export const PRESENT = 1000;

/** What the volumes that are there cost each call. For each shape, as in SHAPES: a publish, then an unpublish. */
export function measurePresent(driver: Driver, effort: Effort): Promise<readonly PresentFigures[]> {
  const measure = async ({ access, callers }: Shape) => {
    const attributes = attribute('maps', mapsAttribute(MAPS, access));
    const { publish, unpublish } = await load<'publish' | 'unpublish'>(driver, [
      ...attributes,
      ...counts(callers, effort.calls),
    ]);
    return [publish.p50_us, unpublish.p50_us];
  };
  const others = async (flag: '--leave' | '--remove') => {
    await load(driver, [...attribute('maps', 'map0, map1:rw'), flag, `${PRESENT}`, '--callers', '8']);
    // So many leave work behind, for V8 and the kernel, that is no part of what comes next.
    await measure({ access: 'ro', callers: 8 });
  };
  return medianOfRounds(effort.rounds, async () => {
    await others('--leave');
    const present = (await inTurn(SHAPES, measure)).flat();
    await others('--remove');
    const none = (await inTurn(SHAPES, measure)).flat();
    return present.map((time, index) => {
      const alone = none[index] ?? Number.NaN;
      return { none: alone, present: time, presentOfNone: time / alone };
    });
  });
}
