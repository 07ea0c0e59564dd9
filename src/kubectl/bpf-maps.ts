import { claimName } from '../kubernetes/claim.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import { listAll } from '../kubernetes/list-all.ts';
import { BPF_DELEGATIONS } from '../maps/bpf-delegation.ts';
import type { BpfMap, MapSource } from '../maps/catalog.ts';
import { parseBpfMap } from '../maps/cluster-bpf-map.ts';
import { BPF_MAPS } from '../maps/cluster-catalog.ts';

/** All BpfMaps of the cluster, by name. Throws an ApiError. */
export async function listBpfMaps(client: KubernetesClient): Promise<readonly BpfMap[]> {
  const maps = (await listAll(client, BPF_MAPS)).map(parseBpfMap);
  return maps.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The names of all BpfDelegations of the cluster, sorted. Throws an ApiError. */
export async function listDelegationNames(client: KubernetesClient): Promise<readonly string[]> {
  return (await listAll(client, BPF_DELEGATIONS)).map(({ metadata }) => metadata.name).sort();
}

/** In a few words: "pinned /sys/fs/bpf/flows", "workspace prod/agent flows", "workspace DaemonSet prod/agent pins flows". */
export function sourceText(source: MapSource): string {
  switch (source.kind) {
    case 'workspace':
      return `workspace ${claimName(source.claim)} ${source.path}`;
    case 'ownedWorkspace': {
      const { owner, volume, path } = source;
      return `workspace ${owner.kind} ${owner.namespace}/${owner.name} ${volume} ${path}`;
    }
    case 'bpfman':
      return `bpfman ${source.application} ${source.program} ${source.map}`;
    case 'unusable':
      return source.problem;
    case 'node': {
      const { pinned, loaded, created, delegated } = source.source;
      if (pinned != null) return `pinned ${pinned.path}`;
      if (loaded != null) return `loaded ${[loaded.program, loaded.map].filter(Boolean).join(' ')}`;
      if (delegated != null) {
        const { owner, volume, path } = delegated;
        return `delegation ${owner?.namespace}/${owner?.serviceAccount} ${volume} ${path}`;
      }
      return `created ${created?.type ?? ''}`.trim();
    }
  }
}
