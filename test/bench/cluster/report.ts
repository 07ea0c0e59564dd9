import { markdownTable, type Row } from '../markdown-table.ts';
import { KINDS, type Requests, requestsOfNodes } from './api-requests.ts';
import { type Bar, bars } from './bars.ts';
import type { Cost, Measured } from './measure.ts';

/** The tables of a run, in Markdown, and its picture. */
export interface Report {
  readonly markdown: string;
  readonly svg: string;
}

/** How a run was made. */
export interface Run {
  readonly cores: number;
  readonly version: string;
  readonly firstSeconds: number;
  readonly steadySeconds: number;
}

export function report(run: Run, measured: readonly Measured[], memory: readonly Row[]): Report {
  const rows = (cost: (one: Measured) => Cost, row: (nodes: number, cost: Cost) => Row) =>
    measured.map((one) => ({ nodes: one.nodes, ...row(one.nodes, cost(one)) }));
  const total = (nodes: number, { requests, seconds, cpuSeconds }: Cost) => ({
    ...requestsOf(requests, nodes),
    together: requestsOfNodes(requests) / nodes,
    seconds,
    'core-seconds': cpuSeconds,
  });
  const perMinute = (nodes: number, { requests, seconds, cpuSeconds }: Cost) => {
    const minutes = seconds / 60;
    return {
      ...requestsOf(requests, nodes * minutes),
      together: requestsOfNodes(requests) / nodes / minutes,
      'core-seconds a minute': cpuSeconds / minutes,
    };
  };
  const failures = measured.reduce((sum, one) => sum + one.failures, 0);
  const withdrawals = measured.flatMap(({ nodes, withdrawal }) =>
    withdrawal === undefined
      ? []
      : [
          {
            nodes,
            'known after: p50': middle(withdrawal.known),
            max: withdrawal.known.at(-1) ?? Number.NaN,
            ...total(nodes, withdrawal.cost),
          },
        ],
  );
  const sections = [
    `Measured with Kubernetes ${run.version} on ${run.cores} cores, which the simulated nodes share with the API server. ${failures} of the looks at pods failed.`,
    'All nodes start at once, requests of each node:',
    markdownTable(rows(({ start }) => start, total)),
    `The first look at each pod, within ${run.firstSeconds} s, requests of each node:`,
    markdownTable(rows(({ firstLooks }) => firstLooks, total)),
    `After that, measured for ${run.steadySeconds} s, requests of each node in a minute:`,
    markdownTable(rows(({ steady }) => steady, perMinute)),
    'A grant is withdrawn, by which a pod of each node loses a map. Seconds until the nodes know, and requests of each node:',
    markdownTable(withdrawals),
    'Resident memory:',
    markdownTable([
      ...measured.map(({ nodes, mebibytes }) => ({ process: `API server, ${counted(nodes)}`, MiB: mebibytes })),
      ...memory.map((row) => ({ process: `node plugin, ${row['node plugin']}`, MiB: row['resident MiB'] ?? '' })),
    ]),
  ];
  const svg = bars(
    'CPU of the API server, core-seconds',
    measured.flatMap(({ nodes, ...one }): readonly Bar[] => [
      { label: `${counted(nodes)}: start`, value: one.start.cpuSeconds },
      { label: 'first looks', value: one.firstLooks.cpuSeconds },
      { label: 'then, a minute', value: (one.steady.cpuSeconds * 60) / one.steady.seconds },
    ]),
  );
  return { markdown: sections.join('\n\n'), svg };
}

function requestsOf(requests: Requests, divisor: number): Row {
  const nodes = KINDS.filter((kind) => kind !== 'renewals');
  return Object.fromEntries(nodes.map((kind) => [kind, requests[kind] / divisor]));
}

function counted(nodes: number): string {
  return nodes === 1 ? '1 node' : `${nodes.toLocaleString('en')} nodes`;
}

/** Of sorted values. */
function middle(values: readonly number[]): number {
  return values[Math.floor((values.length - 1) / 2)] ?? Number.NaN;
}
