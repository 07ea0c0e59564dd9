import type { KubernetesClient } from '../kubernetes/client.ts';
import type { BpfMap, MapSource } from '../maps/catalog.ts';
import { parseBpfMap } from '../maps/cluster-bpf-map.ts';

const BPF_MAPS = { group: 'bpffs.dev', version: 'v1alpha1', plural: 'bpfmaps' };
const PAGE = 500;

/** All BpfMaps of the cluster, by name. Throws an ApiError. */
export async function listBpfMaps(client: KubernetesClient): Promise<readonly BpfMap[]> {
  const maps: BpfMap[] = [];
  let next: string | undefined;
  do {
    const list = await client.list(BPF_MAPS, { limit: PAGE, ...(next !== undefined && { continue: next }) });
    maps.push(...list.items.map(parseBpfMap));
    next = list.continue;
  } while (next !== undefined);
  return maps.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** In a few words: "pinned /sys/fs/bpf/flows", "workspace prod/agent flows". */
export function sourceText(source: MapSource): string {
  switch (source.kind) {
    case 'workspace':
      return `workspace ${source.claim.namespace}/${source.claim.name} ${source.path}`;
    case 'bpfman':
      return `bpfman ${source.application} ${source.program} ${source.map}`;
    case 'unusable':
      return source.problem;
    case 'node': {
      const { pinned, loaded, created } = source.source;
      if (pinned != null) return `pinned ${pinned.path}`;
      if (loaded != null) return `loaded ${[loaded.program, loaded.map].filter(Boolean).join(' ')}`;
      return `created ${created?.type ?? ''}`.trim();
    }
  }
}
