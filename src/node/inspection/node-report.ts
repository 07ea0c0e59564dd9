import { CallError } from '../../errors.ts';
import type { NodeReport } from '../../inspection/reports.ts';
import type { ReportLimits } from '../../inspection/serve-inspection.ts';
import type { GetBudgetResponse, GetNodeResponse, Share } from '../../rpc/pinner.ts';
import { version } from '../../version.ts';
import type { InspectionParts } from './inspection-parts.ts';
import { nodeChecks } from './node-checks.ts';

/** How long the pinner may take: without its answer the report says what else is known. */
const PINNER_TIMEOUT_MS = 3000;

/** How the node is. Never throws: what does not work is a check that says so. */
export async function nodeReport(parts: InspectionParts, { deadline, signal }: ReportLimits): Promise<NodeReport> {
  const { nodeId, opened, started } = parts;
  const pinner = await askPinner(parts, { deadline: Math.min(deadline, Date.now() + PINNER_TIMEOUT_MS), signal });
  const { catalog, watches } = opened.state();
  return {
    node: nodeId,
    time: new Date().toISOString(),
    version,
    started: started.toISOString(),
    memoryBytes: process.memoryUsage.rss(),
    pinner: pinner instanceof CallError ? null : toReport(pinner),
    catalog: { valid: catalog.maps - catalog.invalid, invalid: catalog.invalid },
    watches: watches.map(({ resource, staleness }) => {
      const seconds = staleness();
      return { resource, stalenessSeconds: Number.isFinite(seconds) ? Math.round(seconds) : null };
    }),
    checks: [...(await nodeChecks(parts, pinner instanceof CallError ? pinner : pinner.node))],
  };
}

interface PinnerAnswers {
  readonly node: GetNodeResponse;
  readonly budget: GetBudgetResponse;
  readonly volumes: number;
}

async function askPinner({ pinner }: InspectionParts, limits: ReportLimits): Promise<PinnerAnswers | CallError> {
  try {
    const [node, budget, { volumes }] = await Promise.all([
      pinner.getNode(limits),
      pinner.getBudget(limits),
      pinner.listVolumes(limits),
    ]);
    return { node, budget, volumes: volumes.length };
  } catch (error) {
    return CallError.from(error);
  }
}

function toReport({ node, budget, volumes }: PinnerAnswers): NodeReport['pinner'] {
  return {
    version: node.version,
    kernelRelease: node.kernelRelease,
    volumes,
    createdMaps: toShare(budget.createdMaps),
    createdMemoryBytes: toShare(budget.createdMemoryBytes),
    workspaces: toShare(budget.workspaces),
  };
}

function toShare(share: Share | null): { used: number; limit: number } {
  return { used: share?.used ?? 0, limit: share?.limit ?? 0 };
}
