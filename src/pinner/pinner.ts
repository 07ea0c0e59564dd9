import {
  type AllowDelegationRequest,
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
  type PinnerDefinition,
  PinnerService,
  type PublishDelegationRequest,
  type PublishVolumeRequest,
  type PublishVolumeResponse,
  type PublishWorkspaceRequest,
  type ReleaseMapRequest,
  type ReleaseVolumeRequest,
  type UnpublishVolumeRequest,
} from '../rpc/pinner.ts';
import type { MethodName, Request, Response } from '../rpc/service.ts';
import { type CallLimits, createUnaryClient, type Method } from './unary-client.ts';

/**
 * The pinner, over one persistent connection. Its errors become CallErrors with the same code and text. While it is down, every call fails
 * at once with UNAVAILABLE. An aborted signal also cancels the call at the pinner, and its reason is thrown.
 */
export interface Pinner {
  publishVolume(request: PublishVolumeRequest, limits: CallLimits): Promise<PublishVolumeResponse>;
  publishWorkspace(request: PublishWorkspaceRequest, limits: CallLimits): Promise<PublishVolumeResponse>;
  publishDelegation(request: PublishDelegationRequest, limits: CallLimits): Promise<PublishVolumeResponse>;
  allowDelegation(request: AllowDelegationRequest, limits: CallLimits): Promise<void>;
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

/** Its methods, with their types of messages. */
type Methods = {
  readonly [M in MethodName<PinnerDefinition>]: Method<Request<PinnerDefinition[M]>, Response<PinnerDefinition[M]>>;
};

/** `socket`: the absolute path of the pinner's unix socket. Connects at the first call. */
export function createPinner(socket: string): Pinner {
  const client = createUnaryClient('pinner', socket);
  const call = async <M extends MethodName<PinnerDefinition>>(
    method: M,
    request: Request<PinnerDefinition[M]>,
    limits: CallLimits,
  ): Promise<Response<PinnerDefinition[M]>> => {
    const definition: Methods = await PinnerService.definition();
    return client.call(definition[method], request, limits);
  };
  return {
    publishVolume: (request, limits) => call('PublishVolume', request, limits),
    publishWorkspace: (request, limits) => call('PublishWorkspace', request, limits),
    publishDelegation: (request, limits) => call('PublishDelegation', request, limits),
    async allowDelegation(request, limits) {
      await call('AllowDelegation', request, limits);
    },
    async unpublishVolume(request, limits) {
      await call('UnpublishVolume', request, limits);
    },
    getVolumeStats: (request, limits) => call('GetVolumeStats', request, limits),
    describeVolume: (request, limits) => call('DescribeVolume', request, limits),
    listVolumes: (limits) => call('ListVolumes', {}, limits),
    listKeptVolumes: (limits) => call('ListKeptVolumes', {}, limits),
    async releaseVolume(request, limits) {
      await call('ReleaseVolume', request, limits);
    },
    async releaseMap(request, limits) {
      await call('ReleaseMap', request, limits);
    },
    describeMap: (request, limits) => call('DescribeMap', request, limits),
    getBudget: (limits) => call('GetBudget', {}, limits),
    getNode: (limits) => call('GetNode', {}, limits),
    close: client.close,
  };
}
