import {
  type DescribeMapRequest,
  type DescribeMapResponse,
  type DescribeVolumeRequest,
  type DescribeVolumeResponse,
  type GetBudgetResponse,
  type GetNodeResponse,
  type GetVolumeStatsRequest,
  type GetVolumeStatsResponse,
  type ListKeptVolumesResponse,
  type ListVolumesResponse,
  PinnerService,
  type PublishVolumeRequest,
  type PublishVolumeResponse,
  type PublishWorkspaceRequest,
  type ReleaseMapRequest,
  type ReleaseVolumeRequest,
  type UnpublishVolumeRequest,
} from '../rpc/generated/pinner.ts';
import { type CallLimits, createUnaryClient } from './unary-client.ts';

/**
 * The pinner, over one kept connection. Its own statuses come through unchanged as CallErrors; when it is away every call
 * fails with UNAVAILABLE, at once. An aborted signal cancels the call at the pinner too and throws the signal's reason.
 */
export interface Pinner {
  publishVolume(request: PublishVolumeRequest, limits: CallLimits): Promise<PublishVolumeResponse>;
  publishWorkspace(request: PublishWorkspaceRequest, limits: CallLimits): Promise<PublishVolumeResponse>;
  unpublishVolume(request: UnpublishVolumeRequest, limits: CallLimits): Promise<void>;
  getVolumeStats(request: GetVolumeStatsRequest, limits: CallLimits): Promise<GetVolumeStatsResponse>;
  describeVolume(request: DescribeVolumeRequest, limits: CallLimits): Promise<DescribeVolumeResponse>;
  listVolumes(limits: CallLimits): Promise<ListVolumesResponse>;
  listKeptVolumes(limits: CallLimits): Promise<ListKeptVolumesResponse>;
  releaseVolume(request: ReleaseVolumeRequest, limits: CallLimits): Promise<void>;
  releaseMap(request: ReleaseMapRequest, limits: CallLimits): Promise<void>;
  describeMap(request: DescribeMapRequest, limits: CallLimits): Promise<DescribeMapResponse>;
  getBudget(limits: CallLimits): Promise<GetBudgetResponse>;
  getNode(limits: CallLimits): Promise<GetNodeResponse>;
  close(): void;
}

/** `socket`: the pinner's unix socket, an absolute path. Nothing is dialled before the first call. */
export function createPinner(socket: string): Pinner {
  const client = createUnaryClient('pinner', socket);
  return {
    publishVolume: (request, limits) => client.call(PinnerService.publishVolume, request, limits),
    publishWorkspace: (request, limits) => client.call(PinnerService.publishWorkspace, request, limits),
    async unpublishVolume(request, limits) {
      await client.call(PinnerService.unpublishVolume, request, limits);
    },
    getVolumeStats: (request, limits) => client.call(PinnerService.getVolumeStats, request, limits),
    describeVolume: (request, limits) => client.call(PinnerService.describeVolume, request, limits),
    listVolumes: (limits) => client.call(PinnerService.listVolumes, {}, limits),
    listKeptVolumes: (limits) => client.call(PinnerService.listKeptVolumes, {}, limits),
    async releaseVolume(request, limits) {
      await client.call(PinnerService.releaseVolume, request, limits);
    },
    async releaseMap(request, limits) {
      await client.call(PinnerService.releaseMap, request, limits);
    },
    describeMap: (request, limits) => client.call(PinnerService.describeMap, request, limits),
    getBudget: (limits) => client.call(PinnerService.getBudget, {}, limits),
    getNode: (limits) => client.call(PinnerService.getNode, {}, limits),
    close: client.close,
  };
}
