import type { FileReport, VolumeReport, VolumesReport } from '../../inspection/reports.ts';
import type { ReportLimits } from '../../inspection/serve-inspection.ts';
import { createLimiter } from '../../process/limiter.ts';
import { Access as MapAccess, type VolumeFile } from '../../rpc/pinner.ts';
import { idOfMap } from '../present-map.ts';
import { podUid, volumeName } from '../volume-reference.ts';
import type { InspectionParts } from './inspection-parts.ts';
import { type VisitedVolume, visitVolumes } from './visit-volumes.ts';

/** Files of a report, of all volumes together, and the characters of their paths, which in a workspace are as long as its pods like. */
const MAX_FILES = 5000;
const MAX_PATHS_LENGTH = 1 << 20;
/** Sources that are looked up at a time. */
const LOOKUPS = 2;

/** The volumes of the node, in the order of their paths. Throws UNAVAILABLE if the pinner does not answer. */
export async function volumesReport(parts: InspectionParts, limits: ReportLimits): Promise<VolumesReport> {
  const volumes: VisitedVolume[] = [];
  const room = { files: MAX_FILES, paths: MAX_PATHS_LENGTH };
  const fits = ({ path }: VolumeFile) => {
    room.files -= 1;
    room.paths -= path.length;
    return room.files >= 0 && room.paths >= 0;
  };
  const volumesLeftOut = await visitVolumes(parts, limits, ({ found, ...volume }) => {
    const files = found.files.filter(fits);
    volumes.push({ ...volume, found: { ...found, files, leftOut: found.leftOut + found.files.length - files.length } });
  });
  volumes.sort((a, b) => (a.targetPath < b.targetPath ? -1 : 1));
  const names = volumes.flatMap(({ found, bpfMapOf }) => found.files.flatMap((file) => bpfMapOf(file) ?? []));
  const present = await presentIds(new Set(names), parts, limits);
  return {
    node: parts.nodeId,
    time: new Date().toISOString(),
    volumes: volumes.map((volume) => toReport(volume, present)),
    volumesLeftOut,
  };
}

/** The ids of the maps that the BpfMaps stand for now, without those that cannot be looked up. */
async function presentIds(
  names: ReadonlySet<string>,
  parts: InspectionParts,
  limits: ReportLimits,
): Promise<ReadonlyMap<string, number>> {
  const looking = createLimiter(LOOKUPS);
  const ids = new Map<string, number>();
  const lookUp = async (name: string) => {
    try {
      const map = parts.policy.catalog.find(name);
      const id = map === undefined ? undefined : await idOfMap(map, parts, limits);
      if (id !== undefined) ids.set(name, id);
    } catch {
      limits.signal.throwIfAborted();
    }
  };
  await Promise.all([...names].map((name) => looking.run(limits.signal, () => lookUp(name))));
  return ids;
}

function toReport(
  { volumeId, targetPath, found, known, bpfMapOf }: VisitedVolume,
  present: ReadonlyMap<string, number>,
): VolumeReport {
  const { request, since, refused, refusedLeftOut } = known ?? {};
  const pod = request?.pod;
  const delegation = request?.type === 'delegation' ? request.delegation : undefined;
  // Readers of before know no such type.
  const type = request?.type === 'delegation' ? null : (request?.type ?? (found.workspace ? 'workspace' : null));
  const toFile = (file: VolumeFile): FileReport => {
    const bpfMap = bpfMapOf(file) ?? null;
    const map = toMap(file);
    const id = present.get(bpfMap ?? '');
    // A shared volume keeps the maps that were made for it.
    const isCurrent = type === 'shared' || (id === undefined ? null : id === map.id);
    return { path: file.path, access: file.access === MapAccess.READ_WRITE ? 'write' : 'read', bpfMap, map, isCurrent };
  };
  return {
    name: volumeName(targetPath),
    volumeId,
    type,
    ...(delegation !== undefined && { delegation }),
    podUid: podUid(targetPath),
    pod: pod === undefined ? null : { namespace: pod.namespace, name: pod.podName, serviceAccount: pod.serviceAccount },
    since: since?.toISOString() ?? null,
    generations: found.generations,
    files: found.files.map(toFile),
    refusals: (refused ?? []).map(({ bpfMap, reason, message }) => ({ bpfMap, reason, message })),
    refusalsLeftOut: refusedLeftOut ?? 0,
    filesLeftOut: found.leftOut,
  };
}

function toMap({ map }: VolumeFile): FileReport['map'] {
  if (map === null) throw new TypeError('the pinner sent a file without its map');
  const { id, name, type, keySize, valueSize, maxEntries, flags, memoryBytes } = map;
  return { id, name, type, keySize, valueSize, maxEntries, flags, memoryBytes };
}
