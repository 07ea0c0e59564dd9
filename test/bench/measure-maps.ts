import { attribute, counts, type Driver, load } from './load-client.ts';
import type { Effort } from './measure-calls.ts';
import { inTurn, medianOfRounds } from './rounds.ts';
import { mapsAttribute, type Shape } from './shape.ts';

/** Microseconds of both calls with one caller. */
export type MapFigures = Readonly<
  Record<'maps' | 'readOnlyPublish' | 'readOnlyUnpublish' | 'writablePublish' | 'writableUnpublish', number>
>;

/** The numbers of maps that are measured. */
export const MAP_COUNTS = [1, 2, 4, 32] as const;

/** What maps cost, for each of MAP_COUNTS. */
export function measureMaps(driver: Driver, effort: Effort): Promise<readonly MapFigures[]> {
  const pair = (maps: number, access: Shape['access']) =>
    load<'publish' | 'unpublish'>(driver, [
      ...attribute('maps', mapsAttribute(maps, access)),
      ...counts(1, effort.calls),
    ]);
  return medianOfRounds(effort.rounds, () =>
    inTurn(MAP_COUNTS, async (maps) => {
      const [readOnly, writable] = [await pair(maps, 'ro'), await pair(maps, 'rw')];
      return {
        maps,
        readOnlyPublish: readOnly.publish.p50_us,
        readOnlyUnpublish: readOnly.unpublish.p50_us,
        writablePublish: writable.publish.p50_us,
        writableUnpublish: writable.unpublish.p50_us,
      };
    }),
  );
}
