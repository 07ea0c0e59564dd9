import { CallError } from '../../errors.ts';
import { hostChecks } from '../../inspection/host-checks.ts';
import { kernelChecks } from '../../inspection/kernel-checks.ts';
import { pinRootCheck } from '../../inspection/pin-root-check.ts';
import type { CheckReport } from '../../inspection/reports.ts';
import type { GetNodeResponse } from '../../rpc/pinner.ts';
import type { CsiDriverProblems } from '../csi-driver.ts';
import type { PolicyState } from '../policy.ts';
import type { InspectionParts } from './inspection-parts.ts';
import { seccompCheck } from './seccomp-check.ts';

/** Everything that can be checked from the node plugin. `pinner`: what it says of the node, or why it does not. */
export async function nodeChecks(
  { opened, requireRegistered, seccompProfile, root }: InspectionParts,
  pinner: GetNodeResponse | CallError,
): Promise<readonly CheckReport[]> {
  const { csiDriver, watches } = opened.state();
  return [
    ...(pinner instanceof CallError ? [pinnerAway(pinner)] : pinnerChecks(pinner)),
    ...(requireRegistered === undefined ? [] : [registrationCheck(requireRegistered)]),
    ...(csiDriver === undefined ? [] : csiDriverChecks(csiDriver)),
    // A problem of the CSIDriver object that stops the driver is already among csiDriverChecks.
    ...(watches.length === 0 || csiDriver?.stopping.length ? [] : [readyCheck(opened.requireReady)]),
    ...watches.map(watchCheck),
    ...(await hostChecks()),
    ...(seccompProfile === undefined ? [] : [await seccompCheck(seccompProfile, root)]),
  ];
}

function pinnerAway({ message }: CallError): CheckReport {
  return { state: 'fail', what: 'pinner', found: `${message}; its log says why (container pinner)` };
}

function pinnerChecks(node: GetNodeResponse): readonly CheckReport[] {
  const { version, pinRoots, kubeletDir, droppedLogLines } = node;
  const dropped: CheckReport = {
    state: 'warn',
    what: 'pinner log',
    found: `${droppedLogLines} lines were dropped since its start, because nobody read them in time: look at the node's disk and container runtime`,
  };
  return [
    { state: 'ok', what: 'pinner', found: `version ${version} answers` },
    ...(droppedLogLines > 0 ? [dropped] : []),
    ...kernelChecks(node),
    ...pinRoots.map(pinRootCheck),
    { state: 'ok', what: 'kubelet', found: `volumes are published in ${kubeletDir}/pods` },
  ];
}

function registrationCheck(requireRegistered: () => void): CheckReport {
  const what = 'registration';
  const problem = problemOf(requireRegistered);
  if (problem === undefined) return { state: 'ok', what, found: 'the kubelet has registered the driver' };
  return { state: 'fail', what, found: `${problem}; the kubelet's log says why (journalctl -u kubelet)` };
}

function csiDriverChecks({ stopping, other }: CsiDriverProblems): readonly CheckReport[] {
  const what = 'CSIDriver';
  if (stopping.length + other.length === 0) return [{ state: 'ok', what, found: 'is as the chart has it' }];
  return [
    ...stopping.map((found): CheckReport => ({ state: 'fail', what, found })),
    ...other.map((found): CheckReport => ({ state: 'warn', what, found })),
  ];
}

function readyCheck(requireReady: () => void): CheckReport {
  const what = 'API server';
  const problem = problemOf(requireReady);
  if (problem === undefined) return { state: 'ok', what, found: 'what decides about volumes is known' };
  return { state: 'fail', what, found: `${problem}; no pod gets a volume until this is known` };
}

function watchCheck({ resource, staleness, failure }: PolicyState['watches'][number]): CheckReport {
  const what = `watch of ${resource}`;
  const seconds = staleness();
  const heard = Number.isFinite(seconds) ? `heard of ${Math.round(seconds)} s ago` : 'never heard of';
  const error = failure();
  if (error !== undefined) {
    return { state: 'warn', what, found: `${heard}: ${error.message}; it is tried again until this is mended` };
  }
  // Without the age, which the report has: equal results of many nodes must be equal texts.
  if (Number.isFinite(seconds)) return { state: 'ok', what, found: 'works' };
  return { state: 'warn', what, found: `${heard} yet: wait until the API server has answered` };
}

/** The text of the error that `check` throws. */
function problemOf(check: () => void): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    return CallError.from(error).message;
  }
}
