import type { DenialReport, DenialsReport, FileReport, VolumeReport, VolumesReport } from '../../inspection/reports.ts';
import type { GraphAccount, GraphMap, Path, Refused } from './graph.ts';

/** What a node told. Without `volumes` it counts as one that did not answer. */
export interface NodeAnswer {
  readonly node: string;
  readonly volumes?: VolumesReport;
  readonly denials?: DenialsReport;
  readonly error?: string;
}

/** That a pod of a node uses a map, or was refused it. */
export interface Use extends Pick<Path, 'access' | 'since' | 'replaced' | 'refused'> {
  /** `id`: what tells it from others of its type. */
  readonly map: Pick<GraphMap, 'name' | 'type'> & { readonly id: string };
  /** Its name, or its uid where that is not known. */
  readonly pod: string;
  readonly account: GraphAccount;
  readonly files: readonly FileReport[];
}

/**
 * Joins what a node tells of its volumes and of its denials. A denial is left out if the pod has the map by now, or if its volume reports
 * the same refusal, which then has the numbers of the denial. Maps that come from no BpfMap are one use of their volume.
 */
export function usesOf({ volumes, denials }: NodeAnswer): readonly Use[] {
  const open = new Map(denials?.denials.map((denial) => [denialKey(denial, denial.pod, denial.bpfMap), denial]));
  const uses: Use[] = [];
  for (const volume of volumes?.volumes ?? []) {
    const owner = ownerOf(volume);
    const keyOf = (bpfMap: string) => (volume.pod ? denialKey(volume.pod, volume.pod.name, bpfMap) : '');
    for (const use of held(volume)) {
      uses.push({ ...owner, ...use });
      const denial = open.get(keyOf(use.map.name));
      if (denial && use.map.type === 'BpfMap' && (use.access === 'write' || denial.verb === 'read'))
        open.delete(keyOf(use.map.name));
    }
    for (const { bpfMap, reason, message } of volume.refusals) {
      const { verb = null, count = null, last = null } = open.get(keyOf(bpfMap)) ?? {};
      open.delete(keyOf(bpfMap));
      uses.push(refusedUse({ ...owner, bpfMap, refused: { verb, reason, message, count, last } }));
    }
  }
  for (const { namespace, serviceAccount, pod, bpfMap, ...refused } of open.values())
    uses.push(refusedUse({ pod, account: { namespace, name: serviceAccount }, bpfMap, refused }));
  return uses;
}

const denialKey = (account: Pick<DenialReport, 'namespace' | 'serviceAccount'>, pod: string, bpfMap: string) =>
  JSON.stringify([account.namespace, account.serviceAccount, pod, bpfMap]);

const ownerOf = ({ pod, podUid }: VolumeReport) => ({
  pod: pod?.name ?? podUid,
  account: pod && { namespace: pod.namespace, name: pod.serviceAccount },
});

/** What a volume has: one use for each BpfMap, and one for all other files. An empty volume without BpfMaps is a use too. */
function held(volume: VolumeReport): readonly Omit<Use, 'pod' | 'account'>[] {
  const byBpfMap = Map.groupBy(volume.files, (file) => file.bpfMap);
  if (byBpfMap.size === 0 && volume.refusals.length === 0) byBpfMap.set(null, []);
  const { name, type, since, volumeId: id } = volume;
  const whole = { id, name, type: type === null || type === 'maps' ? 'volume' : type } as const;
  return [...byBpfMap].map(([bpfMap, files]) => ({
    map: bpfMap === null ? whole : { id: bpfMap, name: bpfMap, type: 'BpfMap' },
    files,
    access: files.length === 0 ? null : files.some((file) => file.access === 'write') ? 'write' : 'read',
    since,
    replaced: replacedText(files, volume.generations),
    refused: null,
  }));
}

function replacedText(files: readonly FileReport[], generations: number): string | null {
  if (files.some((file) => file.isCurrent === false)) return 'its source has another map now';
  if (generations < 2) return null;
  return `generation ${generations}: a container that does not follow mounts keeps an older map until it restarts`;
}

function refusedUse(of: Pick<Use, 'pod' | 'account'> & { bpfMap: string; refused: Refused }): Use {
  const { pod, account, bpfMap, refused } = of;
  const { verb, reason, message, count, last } = refused;
  return {
    map: { id: bpfMap, name: bpfMap, type: 'BpfMap' },
    pod,
    account,
    files: [],
    access: null,
    since: null,
    replaced: null,
    refused: { verb, reason, message, count, last },
  };
}
