import { resourceExhausted } from '../errors.ts';
import type { Topology, TopologyRequirement } from '../rpc/csi.ts';

/** The topology key of volumes that live on one node; its value is the node's name. */
export const TOPOLOGY_KEY = 'topology.csi.bpffs.dev/node';

/** Accessible on this node alone. */
export function onNode(nodeName: string): Topology {
  return { segments: { [TOPOLOGY_KEY]: nodeName } };
}

/**
 * The node for a volume that lives in one node's memory: the first preferred one, else the first requisite one. `fallback` is for a caller
 * without any requirement. Throws RESOURCE_EXHAUSTED, after which the scheduler tries another node.
 */
export function chooseNode(requirement: TopologyRequirement | null, fallback: string | undefined): string {
  const { preferred, requisite } = requirement ?? { preferred: [], requisite: [] };
  if (preferred.length + requisite.length === 0) {
    if (fallback !== undefined) return fallback;
    throw resourceExhausted(
      'no node is given for a volume that lives in one: the StorageClass needs volumeBindingMode: WaitForFirstConsumer',
    );
  }
  const [node] = nodes([...preferred, ...requisite]);
  if (node !== undefined) return node;
  throw resourceExhausted(
    `none of the nodes that are allowed has the label ${TOPOLOGY_KEY}: does the driver's node plugin run there?`,
  );
}

/** Whether a volume on the node `nodeName` meets the requirement. */
export function allowsNode(requirement: TopologyRequirement | null, nodeName: string): boolean {
  const requisite = requirement?.requisite ?? [];
  return requisite.length === 0 || nodes(requisite).includes(nodeName);
}

function nodes(topologies: readonly Topology[]): readonly string[] {
  return topologies.flatMap(({ segments }) => segments[TOPOLOGY_KEY] || []);
}
