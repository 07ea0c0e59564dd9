import type { Claim } from '../kubernetes/claim.ts';
import { onNode } from '../request/topology.ts';
import { ControllerClient, IdentityClient } from '../rpc/client.ts';
import { type CreateVolumeRequest, VolumeCapability_AccessMode_Mode as Mode, type Volume } from '../rpc/csi.ts';
import { call, createCsiClient } from './csi-client.ts';

/** A PersistentVolumeClaim, and what its StorageClass says. */
export interface ClaimRequest extends Claim {
  /** Of the StorageClass. */
  readonly parameters: Readonly<Record<string, string>>;
  /** Where the first pod was scheduled. */
  readonly nodeName: string;
  /** The storage that the claim requests; default: 1 MiB. */
  readonly bytes?: number;
}

/** Calls the controller as external-provisioner does. Errors of the controller are thrown as CallErrors. */
export interface Provisioner {
  /** `change` may alter the request. */
  createVolume(claim: ClaimRequest, change?: (request: CreateVolumeRequest) => void): Promise<Volume>;
  deleteVolume(volume: Volume): Promise<void>;
  /** Whether the controller is ready. */
  probe(): Promise<boolean>;
  close(): void;
}

/** `socket`: the controller's. */
export function createProvisioner(socket: string): Provisioner {
  const identity = createCsiClient(IdentityClient, socket);
  const controller = createCsiClient(ControllerClient, socket);
  return {
    async createVolume({ namespace, name, parameters, nodeName, bytes = 1 << 20 }, change) {
      const request: CreateVolumeRequest = {
        name: `pvc-${namespace}-${name}`,
        capacityRange: { requiredBytes: bytes, limitBytes: 0 },
        volumeCapabilities: [
          {
            accessMode: { mode: Mode.SINGLE_NODE_MULTI_WRITER },
            mount: { fsType: '', mountFlags: [], volumeMountGroup: '' },
          },
        ],
        parameters: {
          ...parameters,
          'csi.storage.k8s.io/pvc/name': name,
          'csi.storage.k8s.io/pvc/namespace': namespace,
          'csi.storage.k8s.io/pv/name': `pvc-${namespace}-${name}`,
        },
        secrets: {},
        volumeContentSource: null,
        accessibilityRequirements: { requisite: [onNode(nodeName)], preferred: [onNode(nodeName)] },
        mutableParameters: {},
      };
      change?.(request);
      const { volume } = await call(controller, controller.createVolume, request);
      if (volume === null) throw new TypeError('CreateVolume answered without a volume');
      return volume;
    },
    async deleteVolume({ volumeId }) {
      await call(controller, controller.deleteVolume, { volumeId, secrets: {} });
    },
    async probe() {
      return (await call(identity, identity.probe, {})).ready?.value !== false;
    },
    close() {
      identity.close();
      controller.close();
    },
  };
}
