// The services and messages of csi.proto, under their names there.

import type { ControllerDefinition } from './generated/csi/v1/Controller.ts';
import type { IdentityDefinition } from './generated/csi/v1/Identity.ts';
import type { NodeDefinition } from './generated/csi/v1/Node.ts';
import csi from './generated/csi.json' with { type: 'json' };
import { describeService } from './service.ts';

export type { CapacityRange } from './generated/csi/v1/CapacityRange.ts';
export { _csi_v1_ControllerServiceCapability_RPC_Type as ControllerServiceCapability_RPC_Type } from './generated/csi/v1/ControllerServiceCapability.ts';
export type { CreateVolumeRequest } from './generated/csi/v1/CreateVolumeRequest.ts';
export type { ListVolumesRequest } from './generated/csi/v1/ListVolumesRequest.ts';
export type { ListVolumesResponse } from './generated/csi/v1/ListVolumesResponse.ts';
export type { NodeGetVolumeHealthResponse } from './generated/csi/v1/NodeGetVolumeHealthResponse.ts';
export type { NodeGetVolumeStatsResponse } from './generated/csi/v1/NodeGetVolumeStatsResponse.ts';
export type { NodePublishVolumeRequest } from './generated/csi/v1/NodePublishVolumeRequest.ts';
export { _csi_v1_NodeServiceCapability_RPC_Type as NodeServiceCapability_RPC_Type } from './generated/csi/v1/NodeServiceCapability.ts';
export { _csi_v1_PluginCapability_Service_Type as PluginCapability_Service_Type } from './generated/csi/v1/PluginCapability.ts';
export type { Topology } from './generated/csi/v1/Topology.ts';
export type { TopologyRequirement } from './generated/csi/v1/TopologyRequirement.ts';
export type { ValidateVolumeCapabilitiesRequest } from './generated/csi/v1/ValidateVolumeCapabilitiesRequest.ts';
export type { ValidateVolumeCapabilitiesResponse } from './generated/csi/v1/ValidateVolumeCapabilitiesResponse.ts';
export type { Volume } from './generated/csi/v1/Volume.ts';
export {
  _csi_v1_VolumeCapability_AccessMode_Mode as VolumeCapability_AccessMode_Mode,
  type VolumeCapability,
} from './generated/csi/v1/VolumeCapability.ts';
export type { VolumeHealth } from './generated/csi/v1/VolumeHealth.ts';
export { VolumeHealthErrorType } from './generated/csi/v1/VolumeHealthErrorType.ts';
export { _csi_v1_VolumeUsage_Unit as VolumeUsage_Unit } from './generated/csi/v1/VolumeUsage.ts';
export type { ControllerDefinition, IdentityDefinition, NodeDefinition };

/** Served by node plugin and controller. */
export const IdentityService = describeService<IdentityDefinition>(csi, 'csi.v1.Identity');
/** Called by external-provisioner. */
export const ControllerService = describeService<ControllerDefinition>(csi, 'csi.v1.Controller');
/** Called by the kubelet. */
export const NodeService = describeService<NodeDefinition>(csi, 'csi.v1.Node');
