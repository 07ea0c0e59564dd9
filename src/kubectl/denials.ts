import type { DelegationDenialReport, DenialReport, DenialsReport } from '../inspection/reports.ts';
import { age, type Column } from './output.ts';

/** A denial, and where it happened. */
export type Denial = (DenialReport | DelegationDenialReport) & { readonly node: string };

/** The denials of a report that were repeated after `since` (milliseconds since the epoch), in `namespace` (undefined: all). */
export function denialsOf(report: DenialsReport, since: number, namespace: string | undefined): readonly Denial[] {
  return [...report.denials, ...(report.delegations ?? [])]
    .filter((denial) => Date.parse(denial.last) >= since)
    .filter((denial) => namespace === undefined || denial.namespace === namespace)
    .map((denial) => ({ node: report.node, ...denial }));
}

/** The latest first. */
export function byTime(denials: readonly Denial[]): readonly Denial[] {
  return denials.toSorted((a, b) => Date.parse(b.last) - Date.parse(a.last));
}

/** `now`: milliseconds since the epoch. */
export function denialColumns(now: number): readonly Column<Denial>[] {
  return [
    { title: 'NAMESPACE', cell: ({ namespace }) => namespace },
    { title: 'SERVICEACCOUNT', cell: ({ serviceAccount }) => serviceAccount },
    { title: 'OBJECT', cell: (denial) => (denial.verb === 'use' ? denial.bpfDelegation : denial.bpfMap) },
    { title: 'VERB', cell: ({ verb }) => verb },
    { title: 'REASON', cell: ({ reason }) => reason },
    { title: 'COUNT', cell: ({ count }) => count },
    { title: 'LAST', cell: ({ last }) => age(last, now) },
    { title: 'NODE', cell: ({ node }) => node },
    { title: 'FIRST', wide: true, cell: ({ first }) => age(first, now) },
    { title: 'POD', wide: true, cell: ({ pod }) => pod },
    { title: 'MESSAGE', wide: true, cell: ({ message }) => message },
  ];
}
