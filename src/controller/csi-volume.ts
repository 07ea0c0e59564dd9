import { onNode } from '../request/topology.ts';
import type { Volume as CsiVolume } from '../rpc/csi.ts';
import type { Volume } from '../volumes/volume.ts';

/** A volume as CSI describes it, always the same for the same volume. */
export function toCsiVolume({ id, spec: { content, userNamespace, capacityBytes, nodeName } }: Volume): CsiVolume {
  return {
    volumeId: id,
    capacityBytes,
    // What the node needs at once; it reads the rest from the BpfVolume.
    volumeContext: {
      type: content.type,
      ...(content.type === 'maps' && { maps: content.maps }),
      ...(userNamespace && { hostUsers: 'false' }),
    },
    contentSource: null,
    accessibleTopology: nodeName === undefined ? [] : [onNode(nodeName)],
  };
}
