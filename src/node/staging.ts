import { invalidArgument } from '../errors.ts';
import type { Handlers } from '../rpc/adapter.ts';
import type { NodeDefinition } from '../rpc/csi.ts';

/**
 * Staging does nothing: a volume is made at its target path. It is offered because the kubelet makes a staging directory for each
 * persistent volume anyway (…/plugins/kubernetes.io/csi/<driver>/<hash>/globalmount), and removes it only for drivers that stage.
 * https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/volume/csi/csi_attacher.go (MountDevice, UnmountDevice)
 */
export const staging: Pick<Handlers<NodeDefinition>, 'nodeStageVolume' | 'nodeUnstageVolume'> = {
  nodeStageVolume({ volumeId, stagingTargetPath, volumeCapability }) {
    requireStaging(volumeId, stagingTargetPath);
    if (volumeCapability === null) throw invalidArgument('volume_capability', 'required');
    return {};
  },

  nodeUnstageVolume({ volumeId, stagingTargetPath }) {
    requireStaging(volumeId, stagingTargetPath);
    return {};
  },
};

function requireStaging(volumeId: string, stagingTargetPath: string): void {
  if (volumeId === '') throw invalidArgument('volume_id', 'required');
  if (stagingTargetPath === '') throw invalidArgument('staging_target_path', 'required');
}
