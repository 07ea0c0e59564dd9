import type { VolumesReport } from '../inspection/reports.ts';
import { age, bytes, type Column } from './output.ts';

/** A file of a volume with the map that was asked for. */
export interface MapUser {
  readonly node: string;
  readonly namespace: string | null;
  readonly pod: string;
  readonly serviceAccount: string | null;
  readonly volume: string;
  readonly file: string;
  readonly access: 'read' | 'write';
  /** RFC 3339; null: longer than the node plugin knows. */
  readonly since: string | null;
  readonly mapId: number;
  readonly memoryBytes: number;
  /** Null: not known. */
  readonly isCurrent: boolean | null;
  /** With 2 or more, a container may still see an older map. */
  readonly generations: number;
}

/** The users of BpfMap `map` in a report, in `namespace` (undefined: all). A pod that is not known yet appears by its uid. */
export function usersOf(map: string, namespace: string | undefined, report: VolumesReport): readonly MapUser[] {
  return report.volumes.flatMap(({ pod, podUid, name, since, generations, files }) =>
    namespace !== undefined && pod?.namespace !== namespace
      ? []
      : files
          .filter(({ bpfMap }) => bpfMap === map)
          .map((file) => ({
            node: report.node,
            namespace: pod?.namespace ?? null,
            pod: pod?.name ?? podUid,
            serviceAccount: pod?.serviceAccount ?? null,
            volume: name,
            file: file.path,
            access: file.access,
            since,
            mapId: file.map.id,
            memoryBytes: file.map.memoryBytes,
            isCurrent: file.isCurrent,
            generations,
          })),
  );
}

/** By namespace, pod and file; pods that are not known yet last. */
export function byPod(users: readonly MapUser[]): readonly MapUser[] {
  const key = ({ namespace, pod, file }: MapUser) => [namespace ?? '~', pod, file].join('/');
  return users.toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
}

/** `now`: milliseconds since the epoch. */
export function userColumns(now: number): readonly Column<MapUser>[] {
  return [
    { title: 'NAMESPACE', cell: ({ namespace }) => namespace ?? '-' },
    { title: 'POD', cell: ({ pod }) => pod },
    { title: 'SERVICEACCOUNT', cell: ({ serviceAccount }) => serviceAccount ?? '-' },
    { title: 'NODE', cell: ({ node }) => node },
    { title: 'ACCESS', cell: ({ access }) => access },
    { title: 'MAP ID', cell: ({ mapId }) => mapId },
    { title: 'CURRENT', cell: currentText },
    { title: 'SINCE', cell: ({ since }) => age(since, now) },
    { title: 'VOLUME', wide: true, cell: ({ volume }) => volume },
    { title: 'FILE', wide: true, cell: ({ file }) => file },
    { title: 'MEMORY', wide: true, cell: ({ memoryBytes }) => bytes(memoryBytes) },
    { title: 'GENERATIONS', wide: true, cell: ({ generations }) => generations },
  ];
}

function currentText({ isCurrent, generations }: MapUser): string {
  if (isCurrent === null) return 'unknown';
  if (!isCurrent) return 'no';
  return generations > 1 ? 'yes, after remount' : 'yes';
}
