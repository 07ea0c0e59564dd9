import type { CheckReport, NodeReport } from '../inspection/reports.ts';
import type { Column } from './output.ts';

/** A result that several nodes share; without nodes, it is about the cluster. */
export interface NodesCheck extends CheckReport {
  readonly nodes: readonly string[];
}

/** Collects the checks of nodes; equal results become one. */
export interface Checkup {
  add(report: Pick<NodeReport, 'node' | 'checks'>): void;
  /** Failures first, then warnings; in each group those of most nodes first. */
  results(): readonly NodesCheck[];
}

const SEVERITY = ['fail', 'warn', 'ok'];

/** Nothing is checked at first. */
export function createCheckup(): Checkup {
  const results = new Map<string, CheckReport & { readonly nodes: string[] }>();
  return {
    add({ node, checks }) {
      for (const { state, what, found } of checks) {
        const key = JSON.stringify([state, what, found]);
        const result = results.get(key) ?? { state, what, found, nodes: [] };
        results.set(key, result);
        result.nodes.push(node);
      }
    },
    results: () =>
      [...results.values()].sort(
        (a, b) => SEVERITY.indexOf(a.state) - SEVERITY.indexOf(b.state) || b.nodes.length - a.nodes.length,
      ),
  };
}

/** How many nodes a table names in a row. */
const MAX_NAMED = 3;

/** `all`: how many nodes were asked. */
export function checkColumns(all: number): readonly Column<NodesCheck>[] {
  return [
    { title: 'STATE', cell: ({ state }) => state },
    { title: 'CHECK', cell: ({ what }) => what },
    {
      title: 'NODES',
      cell({ nodes }) {
        if (nodes.length === 0) return 'cluster';
        if (nodes.length === all && all > 1) return `all ${all}`;
        const more = nodes.length > MAX_NAMED ? ` and ${nodes.length - MAX_NAMED} more` : '';
        return `${nodes.slice(0, MAX_NAMED).join(', ')}${more}`;
      },
    },
    { title: 'FOUND', cell: ({ found }) => found },
  ];
}
