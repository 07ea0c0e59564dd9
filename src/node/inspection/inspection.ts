import type { Inspection } from '../../inspection/serve-inspection.ts';
import type { InspectionParts } from './inspection-parts.ts';
import { nodeReport } from './node-report.ts';
import { volumesReport } from './volumes-report.ts';

/** Calls of the pinner at a time: half of the threads on which it works, so that a publish finds one that is free. */
export const INSPECTION_CALLS = 2;

/** The reports of this node. */
export function createInspection(parts: InspectionParts): Inspection {
  return {
    volumes: (limits) => volumesReport(parts, limits),
    denials: async () => ({ node: parts.nodeId, time: new Date().toISOString(), ...parts.denials.report() }),
    node: (limits) => nodeReport(parts, limits),
  };
}
