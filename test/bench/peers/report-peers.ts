import { markdownTable, type Row } from '../markdown-table.ts';
import { countMet, moreThan } from '../target.ts';

/** Pairs of publish and unpublish in a second with so many callers, and what those of this driver are of bpfman's. */
export type PeerFigures = Readonly<
  Record<'callers' | 'readOnly' | 'writable' | 'bpfman' | 'bind' | 'readOnlyOfBpfman' | 'writableOfBpfman', number>
>;

/** The table of a run, in Markdown. */
export function reportPeers(measured: readonly PeerFigures[]): string {
  const rows = measured.map(
    (of): Row => ({
      callers: of.callers,
      'this driver, ro': of.readOnly,
      'this driver, rw': of.writable,
      'bpfman-rpc 0.6.0': of.bpfman,
      'bind a directory': of.bind,
      'ro of bpfman-rpc': of.readOnlyOfBpfman,
      'rw of bpfman-rpc': of.writableOfBpfman,
      ...moreThan(Math.min(of.readOnlyOfBpfman, of.writableOfBpfman), 1),
    }),
  );
  const { met, all } = countMet(rows);
  return [`Pairs of publish and unpublish in a second. Targets met: ${met} of ${all}.`, markdownTable(rows)].join(
    '\n\n',
  );
}
