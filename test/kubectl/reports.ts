import type { DelegationDenialReport, DenialReport, FileReport, VolumeReport } from '../../src/inspection/reports.ts';
import type { SimulatedReports } from './simulated-nodes.ts';

/** RFC 3339, some minutes ago. */
export function minutesAgo(minutes: number): string {
  return new Date(Date.now() - minutes * 60_000).toISOString();
}

export function file(bpfMap: string, id: number, changes: Partial<FileReport> = {}): FileReport {
  return {
    path: bpfMap,
    access: 'read',
    bpfMap,
    map: { id, name: bpfMap, type: 'hash', keySize: 4, valueSize: 8, maxEntries: 1024, flags: 0, memoryBytes: 81_920 },
    isCurrent: true,
    ...changes,
  };
}

/** A volume of pod prod/`pod` with service account "collector". */
export function volume(pod: string, files: readonly FileReport[], changes: Partial<VolumeReport> = {}): VolumeReport {
  return {
    name: 'maps',
    volumeId: `csi-${pod}`,
    type: 'maps',
    podUid: `uid-of-${pod}`,
    pod: { namespace: 'prod', name: pod, serviceAccount: 'collector' },
    since: minutesAgo(200),
    generations: 1,
    files: [...files],
    refusals: [],
    filesLeftOut: 0,
    ...changes,
  };
}

const denied = {
  namespace: 'prod',
  serviceAccount: 'web',
  pod: 'web-0',
  reason: 'grant',
  message: 'no grant: kubectl create role …',
  first: minutesAgo(30),
  last: minutesAgo(5),
  count: 12,
};

export function denial(bpfMap: string, changes: Partial<DenialReport> = {}): DenialReport {
  return { ...denied, bpfMap, verb: 'read', ...changes };
}

export function delegationDenial(
  bpfDelegation: string,
  changes: Partial<DelegationDenialReport> = {},
): DelegationDenialReport {
  return { ...denied, bpfDelegation, verb: 'use', ...changes };
}

/** All reports of a node that is well. */
export function reports(
  node: string,
  volumes: readonly VolumeReport[] = [],
  denials: readonly DenialReport[] = [],
  delegations?: readonly DelegationDenialReport[],
): SimulatedReports {
  const time = minutesAgo(0);
  return {
    volumes: { node, time, volumes: [...volumes], volumesLeftOut: 0 },
    denials: {
      node,
      time,
      since: minutesAgo(300),
      denials: [...denials],
      ...(delegations !== undefined && { delegations: [...delegations] }),
      denialsLeftOut: 0,
    },
    node: {
      node,
      time,
      version: '0.1.0',
      started: minutesAgo(300),
      memoryBytes: 90 << 20,
      pinner: {
        version: '0.1.0',
        kernelRelease: '6.18.0',
        volumes: volumes.length,
        createdMaps: { used: 0, limit: 1024 },
        createdMemoryBytes: { used: 0, limit: 1 << 30 },
        workspaces: { used: 0, limit: 256 },
      },
      catalog: { valid: 2, invalid: 0 },
      watches: [{ resource: 'bpfmaps', stalenessSeconds: 12.4 }],
      checks: [{ state: 'ok', what: 'kernel', found: 'Linux 6.18.0' }],
    },
  };
}
