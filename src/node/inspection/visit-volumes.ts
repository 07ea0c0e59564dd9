import { CallError, Code } from '../../errors.ts';
import type { ReportLimits } from '../../inspection/serve-inspection.ts';
import type { Pinner } from '../../pinner/pinner.ts';
import type { DescribeVolumeResponse, VolumeFile } from '../../rpc/pinner.ts';
import type { Published, PublishedVolume } from '../published.ts';

/** A volume as the kernel has it, and what is known of it. */
export interface VisitedVolume {
  readonly volumeId: string;
  readonly targetPath: string;
  readonly found: DescribeVolumeResponse;
  /** Undefined: nothing since the start of the node plugin, until the kubelet repeats its request. */
  readonly known: PublishedVolume | undefined;
  /** The BpfMap that a file comes from; undefined: none, or one of several. */
  bpfMapOf(file: VolumeFile): string | undefined;
}

/** More than a node has pods. */
const MAX_VOLUMES = 1000;

/**
 * Describes the volumes of the node, as many at a time as `pinner` allows calls. Keeps no description, because those of all volumes may
 * exceed the memory. Returns how many volumes were not listed or could not be described. Throws if there is no list.
 */
export async function visitVolumes(
  {
    pinner,
    published,
  }: { readonly pinner: Pick<Pinner, 'listVolumes' | 'describeVolume'>; readonly published: Published },
  limits: ReportLimits,
  visit: (volume: VisitedVolume) => void,
): Promise<number> {
  const { volumes } = await pinner.listVolumes(limits);
  let leftOut = Math.max(0, volumes.length - MAX_VOLUMES);
  const describe = async (listed: { readonly volumeId: string; readonly targetPath: string }) => {
    const { targetPath } = listed;
    const there = published.at(targetPath);
    // Kernels before 5.17 do not show it.
    const volumeId = listed.volumeId || (there?.request.volumeId ?? '');
    try {
      const found = await pinner.describeVolume({ volumeId, targetPath }, limits);
      const known = there?.request.volumeId === volumeId ? there : undefined;
      visit({ volumeId, targetPath, found, known, bpfMapOf: bpfMapOf(known) });
    } catch (error) {
      limits.signal.throwIfAborted();
      // It has gone meanwhile, as its pod has.
      if (CallError.from(error).code !== Code.NOT_FOUND) leftOut += 1;
    }
  };
  await Promise.all(volumes.slice(0, MAX_VOLUMES).map(describe));
  return leftOut;
}

function bpfMapOf(known: PublishedVolume | undefined): VisitedVolume['bpfMapOf'] {
  if (known === undefined || known.origins.last.size === 0) return () => undefined;
  const byFile = Map.groupBy(known.origins.last.values(), ({ fileName }) => fileName);
  return ({ path }) => {
    const [map, ...others] = byFile.get(path) ?? [];
    return others.length === 0 ? map?.name : undefined;
  };
}
