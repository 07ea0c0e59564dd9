import { CallError } from '../errors.ts';
import type { Pinner } from '../pinner/pinner.ts';
import type { NodeEvents } from './node-events.ts';

/** A restart of the pinner takes a second or two. */
const TELL_AFTER_MS = 30_000;

/**
 * Returns the pinner's `getNode`, which the kubelet's readiness probe calls every few seconds. When its calls have failed for half a
 * minute, it reports this by an event, and by another event when the pinner answers again. `now`: milliseconds of a monotonic clock.
 */
export function tellOutages(
  { getNode }: Pick<Pinner, 'getNode'>,
  events: NodeEvents,
  now: () => number = () => performance.now(),
): Pinner['getNode'] {
  /** The first failed call since the last good one. */
  let since: number | undefined;
  let told = false;

  function failed(error: CallError): void {
    since ??= now();
    if (told || now() - since < TELL_AFTER_MS) return;
    told = true;
    events.record(
      'BpfPinnerDown',
      `The container "pinner" has not answered for ${TELL_AFTER_MS / 1000} s: ${error.message}. Until it does, no volume is published or unpublished on this node; running pods keep their maps.`,
    );
  }

  return async (limits) => {
    try {
      const node = await getNode(limits);
      if (told) events.record('BpfPinnerUp', 'The container "pinner" answers again.');
      since = undefined;
      told = false;
      return node;
    } catch (error) {
      // A caller that gives up says nothing of the pinner.
      if (limits.signal?.aborted !== true) failed(CallError.from(error));
      throw error;
    }
  };
}
