import { rmSync } from 'node:fs';
import { status as Code, Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js';
import {
  PublishVolumeResponse_Outcome as Outcome,
  type PinnerServer,
  PinnerService,
  type PublishVolumeRequest,
} from '../../src/rpc/generated/pinner.ts';

/** A pinner as pinner.proto describes it, but for the kernel: volumes are entries of a map. Real gRPC, on a real socket. */
export interface FakePinner {
  /** By target path. */
  readonly volumes: Map<string, PublishVolumeRequest>;
  /** Calls that were cancelled or ran into their deadline here, by method. */
  readonly cancelled: string[];
  /** The deadline of the newest call; milliseconds since the epoch. */
  lastDeadline: number;
  /** While set, every call ends in this status. */
  failWith: { readonly code: Code; readonly details: string } | undefined;
  /** While set, PublishVolume waits for it. */
  hold: Promise<void> | undefined;
  stop(): Promise<void>;
}

type Handler<Req, Res> = (request: Req) => Promise<Res> | Res;

/** Every map has this size, in bytes. */
export const MAP_BYTES = 4096;

export async function startFakePinner(socket: string): Promise<FakePinner> {
  const server = new Server();
  const volumes = new Map<string, PublishVolumeRequest>();
  const pinner: FakePinner = {
    volumes,
    cancelled: [],
    lastDeadline: Number.NaN,
    failWith: undefined,
    hold: undefined,
    async stop() {
      server.forceShutdown();
      rmSync(socket, { force: true });
    },
  };

  const handle =
    <Req, Res>(method: string, handler: Handler<Req, Res>) =>
    async (call: ServerUnaryCall<Req, Res>, reply: sendUnaryData<Res>) => {
      pinner.lastDeadline = Number(call.getDeadline());
      call.on('cancelled', () => pinner.cancelled.push(method));
      try {
        if (pinner.failWith !== undefined) throw pinner.failWith;
        reply(null, await handler(call.request));
      } catch (failure) {
        reply(failure as { code: Code; details: string });
      }
    };

  const implementation: PinnerServer = {
    publishVolume: handle('PublishVolume', async (request) => {
      await pinner.hold;
      const there = volumes.get(request.targetPath);
      if (there === undefined) {
        volumes.set(request.targetPath, request);
        return { outcome: Outcome.CREATED };
      }
      if (shape(there) === shape(request)) return { outcome: Outcome.UNCHANGED };
      throw { code: Code.ALREADY_EXISTS, details: `${request.targetPath}: published with other maps, access or group` };
    }),
    unpublishVolume: handle('UnpublishVolume', ({ volumeId, targetPath }) => {
      const there = volumes.get(targetPath);
      if (there !== undefined && there.volumeId !== volumeId) {
        throw {
          code: Code.FAILED_PRECONDITION,
          details: `${targetPath}: is volume ${there.volumeId}, not ${volumeId}`,
        };
      }
      volumes.delete(targetPath);
      return {};
    }),
    getVolumeStats: handle('GetVolumeStats', ({ targetPath }) => {
      const there = volumes.get(targetPath);
      if (there === undefined) throw { code: Code.NOT_FOUND, details: `no volume at ${targetPath}` };
      return { maps: there.maps.length, memoryBytes: there.maps.length * MAP_BYTES };
    }),
    listVolumes: handle('ListVolumes', () => ({
      volumes: [...volumes.values()].map(({ volumeId, targetPath }) => ({ volumeId, targetPath })),
    })),
    describeMap: handle('DescribeMap', () => ({ map: undefined })),
    getNode: handle('GetNode', () => ({ kernelRelease: '6.12.0', version: '0.1.0', features: [] })),
  };
  server.addService(PinnerService, implementation);
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix://${socket}`, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    );
  });
  return pinner;
}

function shape({ maps, gid, userNamespace }: PublishVolumeRequest): string {
  return JSON.stringify([maps, gid, userNamespace]);
}
