import { markdownTable, type Row } from '../markdown-table.ts';
import { countMet, moreThan } from '../target.ts';

/** Pairs of publish and unpublish in a second, with so many callers. */
export type PeerFigures = Readonly<Record<'callers' | 'readOnly' | 'writable' | 'bpfman' | 'bind', number>>;

/** The table of a run, in Markdown. */
export function reportPeers(measured: readonly PeerFigures[]): string {
  const rows = measured.map(({ callers, readOnly, writable, bpfman, bind }): Row => {
    const ratio = Math.min(readOnly, writable) / bpfman;
    return {
      callers,
      'this driver, ro': readOnly,
      'this driver, rw': writable,
      'bpfman-rpc 0.6.0': bpfman,
      'bind a directory': bind,
      'the slower of bpfman-rpc': ratio,
      ...moreThan(ratio, 1),
    };
  });
  const { met, all } = countMet(rows);
  return [`Pairs of publish and unpublish in a second. ${met} of ${all} targets are met:`, markdownTable(rows)].join(
    '\n\n',
  );
}
