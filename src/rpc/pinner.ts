// The service and messages of pinner.proto, under their names there.
export { Access } from './generated/bpffs/pinner/v1/Access.ts';
export type { AllowDelegationRequest } from './generated/bpffs/pinner/v1/AllowDelegationRequest.ts';
export type { CreatedMap } from './generated/bpffs/pinner/v1/CreatedMap.ts';
export type { Delegation } from './generated/bpffs/pinner/v1/Delegation.ts';
export type { DescribeMapRequest } from './generated/bpffs/pinner/v1/DescribeMapRequest.ts';
export type { DescribeMapResponse } from './generated/bpffs/pinner/v1/DescribeMapResponse.ts';
export type { DescribeVolumeRequest } from './generated/bpffs/pinner/v1/DescribeVolumeRequest.ts';
export type { DescribeVolumeResponse } from './generated/bpffs/pinner/v1/DescribeVolumeResponse.ts';
export {
  _bpffs_pinner_v1_FileChange_Kind as FileChange_Kind,
  type FileChange,
} from './generated/bpffs/pinner/v1/FileChange.ts';
export type { GetBudgetResponse } from './generated/bpffs/pinner/v1/GetBudgetResponse.ts';
export type { GetNodeResponse } from './generated/bpffs/pinner/v1/GetNodeResponse.ts';
export type { GetVolumeStatsRequest } from './generated/bpffs/pinner/v1/GetVolumeStatsRequest.ts';
export type { GetVolumeStatsResponse } from './generated/bpffs/pinner/v1/GetVolumeStatsResponse.ts';
export type { KernelFeature } from './generated/bpffs/pinner/v1/KernelFeature.ts';
export type { ListKeptVolumesResponse } from './generated/bpffs/pinner/v1/ListKeptVolumesResponse.ts';
export type { ListVolumesResponse } from './generated/bpffs/pinner/v1/ListVolumesResponse.ts';
export type { MapDescription } from './generated/bpffs/pinner/v1/MapDescription.ts';
export type { MapRefusal } from './generated/bpffs/pinner/v1/MapRefusal.ts';
export type { PinRoot } from './generated/bpffs/pinner/v1/PinRoot.ts';
export type { PublishDelegationRequest } from './generated/bpffs/pinner/v1/PublishDelegationRequest.ts';
export type { PublishedMap } from './generated/bpffs/pinner/v1/PublishedMap.ts';
export type { PublishVolumeRequest } from './generated/bpffs/pinner/v1/PublishVolumeRequest.ts';
export {
  _bpffs_pinner_v1_PublishVolumeResponse_Outcome as PublishVolumeResponse_Outcome,
  type PublishVolumeResponse,
} from './generated/bpffs/pinner/v1/PublishVolumeResponse.ts';
export type { PublishWorkspaceRequest } from './generated/bpffs/pinner/v1/PublishWorkspaceRequest.ts';
export type { ReleaseMapRequest } from './generated/bpffs/pinner/v1/ReleaseMapRequest.ts';
export type { ReleaseVolumeRequest } from './generated/bpffs/pinner/v1/ReleaseVolumeRequest.ts';
export type { Share } from './generated/bpffs/pinner/v1/Share.ts';
export type { Source } from './generated/bpffs/pinner/v1/Source.ts';
export type { UnpublishVolumeRequest } from './generated/bpffs/pinner/v1/UnpublishVolumeRequest.ts';
export type { VolumeFile } from './generated/bpffs/pinner/v1/VolumeFile.ts';
export { VolumeKind } from './generated/bpffs/pinner/v1/VolumeKind.ts';
export type { VolumeMap } from './generated/bpffs/pinner/v1/VolumeMap.ts';

import type { PinnerDefinition, PinnerHandlers } from './generated/bpffs/pinner/v1/Pinner.ts';
import pinner from './generated/pinner.json' with { type: 'json' };
import { describeService } from './service.ts';

export type { PinnerDefinition, PinnerHandlers };

/** Served by the pinner. */
export const PinnerService = describeService<PinnerDefinition>(pinner, 'bpffs.pinner.v1.Pinner');
