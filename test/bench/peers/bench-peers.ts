// Measures this driver beside others, in turns, and writes the table into docs/scale.md.
//
//   make bench-peers [BENCH=--quick]
//
// The other drivers are bpfman-rpc, as it is released, and test/bench/bind. --quick measures less often, and writes nothing.
import { warmUp, withNode } from '../bench-node.ts';
import { writeGeneratedPart } from '../generated-part.ts';
import { attribute, counts, load } from '../load-client.ts';
import { inTurn, medianOfRounds } from '../rounds.ts';
import { MAPS, mapsAttribute } from '../shape.ts';
import { type Peer, startBind, startBpfman } from './peers.ts';
import { type PeerFigures, reportPeers } from './report-peers.ts';

const CALLERS = [1, 8, 32];
const isQuick = process.argv.includes('--quick');
const effort = isQuick ? { rounds: 3, calls: 64 } : { rounds: 5, calls: 320 };

const measured = await withNode(MAPS, async (node) => {
  await using stack = new AsyncDisposableStack();
  const readOnly: Peer = { ...node, attributes: attribute('maps', mapsAttribute(MAPS, 'ro')) };
  const writable: Peer = { ...node, attributes: attribute('maps', mapsAttribute(MAPS, 'rw')) };
  const bpfman = await startBpfman(node, stack);
  const bind = await startBind(node, stack);
  await warmUp(node, isQuick ? 1000 : 3000);
  for (const peer of [bpfman, bind]) await pairs(peer, 8, 500);
  return await medianOfRounds(effort.rounds, () =>
    inTurn(CALLERS, async (callers): Promise<PeerFigures> => {
      const rate = (peer: Peer) => pairs(peer, callers, effort.calls);
      const [ro, rw, other] = [await rate(readOnly), await rate(writable), await rate(bpfman)];
      return {
        ...{ callers, readOnly: ro, writable: rw, bpfman: other, bind: await rate(bind) },
        ...{ readOnlyOfBpfman: ro / other, writableOfBpfman: rw / other },
      };
    }),
  );
});
const markdown = reportPeers(measured);
process.stdout.write(`${markdown}\n`);
if (!isQuick) await writeGeneratedPart('bench-peers', markdown);

/** Pairs in a second. */
async function pairs(peer: Peer, callers: number, calls: number): Promise<number> {
  const { publish } = await load<'publish'>(peer, [...peer.attributes, ...counts(callers, calls)]);
  return publish.per_second;
}
