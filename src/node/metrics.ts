import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Right } from '../access/access.ts';
import { createProcessMetrics, DURATION_BUCKETS, type ProcessMetrics, setOrRemove } from '../process/metrics.ts';
import {
  type GetBudgetResponse,
  type GetNodeResponse,
  PublishVolumeResponse_Outcome as Outcomes,
  type PublishVolumeResponse,
  type Share,
} from '../rpc/pinner.ts';
import type { CsiDriverProblems } from './csi-driver.ts';
import { EVENT_REASONS } from './pod-events.ts';
import type { PolicyState } from './policy.ts';
import { REFUSAL_REASONS } from './volume-plan.ts';

/** What the node plugin counts. Methods are named for what happened. */
export interface NodeMetrics extends ProcessMetrics {
  /** A publish succeeded. */
  published(outcome: Outcome, seconds: number): void;
  denied(verb: Right, reason: 'grant' | 'maxAccess'): void;
  /** A map is not published as its pod asked; `reason`: a RefusalReason of volume-plan.ts. */
  refused(reason: string, pod: 'new' | 'running'): void;
  /** Files of an existing volume changed. */
  volumeChanged(reason: string, files: number): void;
  catalogSeen(catalog: PolicyState['catalog']): void;
  /** `ageSeconds` of the cached answer; undefined: the API server had to be asked. */
  answerLookedUp(review: Review, ageSeconds: number | undefined): void;
  /** `success`: the file's newest content is in use. */
  fileReloaded(file: 'catalog' | 'grants', success: boolean): void;
  /** The volumes on the node, and what the pinner has made there; undefined: it does not answer. */
  pinnerSeen(
    seen: { readonly volumes: number; readonly budget: GetBudgetResponse; readonly node: GetNodeResponse } | undefined,
  ): void;
  /** Replaces all series of the metric. */
  mapMemorySeen(memory: readonly MapMemory[]): void;
  /** Never called without a cluster. */
  csiDriverSeen(problems: CsiDriverProblems): void;
  /** Whether the controller says when grants change. Never called where nobody is expected to. */
  accessHeard(isHeard: boolean): void;
  /** Whether the kubelet has registered the driver. Never called where registration is not served. */
  registrationSeen(isRegistered: boolean): void;
}

/** The kernel memory of a BpfMap's maps in the volumes of a namespace. A map in several volumes counts once. */
export interface MapMemory {
  readonly namespace: string;
  /** The BpfMap; "other", in namespace "": all that are not listed. */
  readonly map: string;
  readonly bytes: number;
}

type Outcome = PublishVolumeResponse['outcome'];

/** The metrics' names of outcomes. */
const OUTCOMES: Readonly<Partial<Record<Outcome, string>>> = {
  [Outcomes.CREATED]: 'created',
  [Outcomes.UNCHANGED]: 'unchanged',
  [Outcomes.REPLACED]: 'replaced',
};

/** What the API server is asked about a pod: who it is (token), what it may have (access). */
export type Review = 'token' | 'access';

/** The node plugin's metrics, bpffs_…, in a registry of their own. Counters start at 0 for all labels that are known. */
export function createNodeMetrics(): NodeMetrics {
  const registry = new Registry();
  const registers = [registry];
  const volumes = new Gauge({ name: 'bpffs_volumes', help: 'Volumes published on this node.', registers });
  const budgets = {
    createdMaps: createBudget('bpffs_created_maps', '', 'Maps that the driver has made on this node'),
    createdMemoryBytes: createBudget(
      'bpffs_created_memory',
      '_bytes',
      'Kernel memory of those maps when they are full',
    ),
    workspaces: createBudget('bpffs_workspaces', '', 'Workspaces that are kept on this node'),
  };
  /** Gauges for usage and limit, left out while unknown. */
  function createBudget(name: string, unit: string, what: string): (share: Share | null | undefined) => void {
    const used = new Gauge({ name: `${name}${unit}`, help: `${what}.`, registers });
    const limit = new Gauge({ name: `${name}_limit${unit}`, help: `${what}, at most.`, registers });
    return (share) => {
      setOrRemove(used, share?.used);
      setOrRemove(limit, share?.limit);
    };
  }
  const mapMemory = new Gauge({
    name: 'bpffs_map_memory_bytes',
    help: 'Kernel memory of a BpfMap\'s maps in the volumes of a namespace, each map once; up to 5 minutes old. The largest, and in namespace "" all others.',
    labelNames: ['namespace', 'map'],
    registers,
  });
  const pinnerUp = new Gauge({ name: 'bpffs_pinner_up', help: '1 if the pinner answers.', registers });
  const pinnerInfo = new Gauge({
    name: 'bpffs_pinner_info',
    help: '1, for the version of the pinner and the release of the kernel.',
    labelNames: ['version', 'kernel'],
    registers,
  });
  const droppedLines = new Gauge({
    name: 'bpffs_pinner_log_lines_dropped',
    help: "Lines of the pinner's log that nobody read in time, since it started.",
    registers,
  });
  const registered = new Gauge({
    name: 'bpffs_registered',
    help: '1 if the kubelet has registered the driver.',
    registers,
  });
  registered.remove();
  const csiDriver = new Gauge({
    name: 'bpffs_csidriver_problems',
    help: 'What is wrong with the CSIDriver object: what stops the driver (yes), and what does not (no). The log names them.',
    labelNames: ['stopping'],
    registers,
  });
  const accessHeard = new Gauge({
    name: 'bpffs_access_generation_heard',
    help: '1 if the controller says when grants change, so that answers are good until then; 0: they are good for 30 s.',
    registers,
  });
  accessHeard.remove();
  const publishes = new Histogram({
    name: 'bpffs_publish_duration_seconds',
    help: 'Time that a publish took which succeeded: of a new volume (created), or of one that was there (unchanged, replaced).',
    labelNames: ['outcome'],
    buckets: DURATION_BUCKETS,
    registers,
  });
  const denials = new Counter({
    name: 'bpffs_denials_total',
    help: 'Maps, and with use delegations, refused to a pod, by verb and by what stood against it.',
    labelNames: ['verb', 'reason'],
    registers,
  });
  for (const verb of ['read', 'write']) for (const reason of ['grant', 'maxAccess']) denials.inc({ verb, reason }, 0);
  denials.inc({ verb: 'use', reason: 'grant' }, 0);
  const refusals = new Counter({
    name: 'bpffs_map_refusals_total',
    help: 'Maps that a pod asked for and did not get so, or not anew, at a look of the kubelet: a new pod waits, a running one goes on.',
    labelNames: ['reason', 'pod'],
    registers,
  });
  for (const reason of REFUSAL_REASONS) for (const pod of ['new', 'running']) refusals.inc({ reason, pod }, 0);
  const reloads = new Gauge({
    name: 'bpffs_file_reload_success',
    help: '1 if the newest content of the file is in use, 0 if it is bad and the one before is.',
    labelNames: ['file'],
    registers,
  });
  const changes = new Counter({
    name: 'bpffs_volume_changes_total',
    help: 'Files of published volumes that became others, by the reason that the event on the pod has too.',
    labelNames: ['reason'],
    registers,
  });
  for (const reason of EVENT_REASONS) changes.inc({ reason }, 0);
  const catalog = new Gauge({ name: 'bpffs_catalog_maps', help: 'BpfMaps that are known.', registers });
  const invalid = new Gauge({
    name: 'bpffs_catalog_maps_invalid',
    help: 'BpfMaps that are known and cannot be used; the log names them.',
    registers,
  });
  const lookups = new Counter({
    name: 'bpffs_review_lookups_total',
    help: 'Questions of who a pod is (token) and what it may have (access), by whether the answer was cached.',
    labelNames: ['review', 'result'],
    registers,
  });
  const ages = new Histogram({
    name: 'bpffs_review_age_seconds',
    help: 'Age of cached answers at the time when they were used.',
    labelNames: ['review'],
    buckets: [1, 10, 60, 300, 900, 3600],
    registers,
  });
  return {
    ...createProcessMetrics(registry),
    published: (outcome, seconds) => publishes.observe({ outcome: OUTCOMES[outcome] ?? 'unknown' }, seconds),
    denied: (verb, reason) => denials.inc({ verb, reason }),
    refused: (reason, pod) => refusals.inc({ reason, pod }),
    volumeChanged: (reason, files) => changes.inc({ reason }, files),
    catalogSeen(seen) {
      catalog.set(seen.maps);
      invalid.set(seen.invalid);
    },
    answerLookedUp(review, ageSeconds) {
      lookups.inc({ review, result: ageSeconds === undefined ? 'miss' : 'hit' });
      if (ageSeconds !== undefined) ages.observe({ review }, ageSeconds);
    },
    fileReloaded: (file, success) => reloads.set({ file }, success ? 1 : 0),
    pinnerSeen(seen) {
      pinnerUp.set(seen === undefined ? 0 : 1);
      pinnerInfo.reset();
      if (seen !== undefined) pinnerInfo.set({ version: seen.node.version, kernel: seen.node.kernelRelease }, 1);
      setOrRemove(volumes, seen?.volumes);
      setOrRemove(droppedLines, seen?.node.droppedLogLines);
      for (const kind of ['createdMaps', 'createdMemoryBytes', 'workspaces'] as const)
        budgets[kind](seen?.budget[kind]);
    },
    mapMemorySeen(memory) {
      mapMemory.reset();
      for (const { namespace, map, bytes } of memory) mapMemory.set({ namespace, map }, bytes);
    },
    csiDriverSeen({ stopping, other }) {
      csiDriver.set({ stopping: 'yes' }, stopping.length);
      csiDriver.set({ stopping: 'no' }, other.length);
    },
    accessHeard: (isHeard) => accessHeard.set(isHeard ? 1 : 0),
    registrationSeen: (isRegistered) => registered.set(isRegistered ? 1 : 0),
  };
}
