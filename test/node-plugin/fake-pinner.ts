import { rmSync } from 'node:fs';
import { status as Code, Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js';
import {
  Access,
  type FileChange,
  FileChange_Kind as Kind,
  type MapDescription,
  PublishVolumeResponse_Outcome as Outcome,
  type PinnerServer,
  PinnerService,
  type PublishVolumeRequest,
  type PublishWorkspaceRequest,
  type Source,
  type VolumeMap,
} from '../../src/rpc/generated/pinner.ts';

/** A pinner as pinner.proto describes it, but for the kernel: volumes are entries of a map. Real gRPC, on a real socket. */
export interface FakePinner {
  /** By target path. */
  readonly volumes: Map<string, PublishVolumeRequest>;
  /** Workspaces, by target path. */
  readonly workspaces: Map<string, PublishWorkspaceRequest>;
  /** Volume ids of which something is kept. */
  readonly kept: Set<string>;
  /** Ids of maps by file name, as a volume has them and as they are at their source; any other is 1. */
  readonly mapIds: { readonly inVolume: Map<string, number>; readonly atSource: Map<string, number> };
  /** How many generations a volume has. */
  generations: number;
  /** What a workspace that is published again is said to differ in. */
  workspaceChanges: FileChange[];
  /** Calls that were cancelled or ran into their deadline here, by method. */
  readonly cancelled: string[];
  /** The deadline of the newest call; milliseconds since the epoch. */
  lastDeadline: number;
  /** While set, every call ends in this status, but those of one method. */
  failWith: { readonly code: Code; readonly details: string; readonly but?: string } | undefined;
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
  const workspaces = new Map<string, PublishWorkspaceRequest>();
  const kept = new Set<string>();
  const mapIds = { inVolume: new Map<string, number>(), atSource: new Map<string, number>() };
  const pinner: FakePinner = {
    volumes,
    workspaces,
    kept,
    mapIds,
    generations: 1,
    workspaceChanges: [],
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
        if (pinner.failWith !== undefined && pinner.failWith.but !== method) throw pinner.failWith;
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
        for (const { source } of request.maps) {
          if (source?.from?.$case === 'created' && source.from.value.volumeId !== '')
            kept.add(source.from.value.volumeId);
        }
        return { outcome: Outcome.CREATED, changes: [] };
      }
      if (shape(there) === shape(request)) return { outcome: Outcome.UNCHANGED, changes: [] };
      if (request.renew && there.gid === request.gid && there.userNamespace === request.userNamespace) {
        volumes.set(request.targetPath, request);
        const changes = changesBetween(there.maps, request.maps);
        return { outcome: changes.length > 0 ? Outcome.REPLACED : Outcome.UNCHANGED, changes };
      }
      throw { code: Code.ALREADY_EXISTS, details: `${request.targetPath}: published with other maps, access or group` };
    }),
    publishWorkspace: handle('PublishWorkspace', (request) => {
      workspaces.set(request.targetPath, request);
      kept.add(request.volumeId);
      return { outcome: Outcome.CREATED, changes: pinner.workspaceChanges };
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
      workspaces.delete(targetPath);
      return {};
    }),
    getVolumeStats: handle('GetVolumeStats', ({ targetPath }) => {
      const there = volumes.get(targetPath);
      if (there === undefined) throw { code: Code.NOT_FOUND, details: `no volume at ${targetPath}` };
      return { maps: there.maps.length, memoryBytes: there.maps.length * MAP_BYTES };
    }),
    describeVolume: handle('DescribeVolume', ({ volumeId, targetPath }) => {
      const there = volumes.get(targetPath);
      if (there?.volumeId !== volumeId) throw { code: Code.NOT_FOUND, details: `no volume at ${targetPath}` };
      const files = there.maps.map(({ fileName, access }) => ({
        path: fileName,
        access,
        map: description(mapIds.inVolume.get(fileName)),
      }));
      return { workspace: false, files: files.filter(({ map }) => map.id !== 0), generations: pinner.generations };
    }),
    listKeptVolumes: handle('ListKeptVolumes', () => ({ volumeIds: [...kept] })),
    releaseVolume: handle('ReleaseVolume', ({ volumeId }) => {
      kept.delete(volumeId);
      return {};
    }),
    listVolumes: handle('ListVolumes', () => ({
      volumes: [...volumes.values(), ...workspaces.values()].map(({ volumeId, targetPath }) => ({
        volumeId,
        targetPath,
      })),
    })),
    describeMap: handle('DescribeMap', ({ source }) => {
      const id = mapIds.atSource.get(sourceName(source));
      if (id === 0) throw { code: Code.UNAVAILABLE, details: 'nothing is pinned there yet' };
      return { map: description(id) };
    }),
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

/** `id`: 0 stands for no map. */
function description(id = 1): MapDescription {
  return { id, name: '', type: 'hash', keySize: 4, valueSize: 8, maxEntries: 1, flags: 0, memoryBytes: MAP_BYTES };
}

/** The last element of a pin's path, or the name of a created map. */
function sourceName(source: Source | undefined): string {
  if (source?.from?.$case === 'pinned') return source.from.value.path.split('/').at(-1) ?? '';
  return source?.from?.$case === 'created' ? source.from.value.name : '';
}

function changesBetween(there: readonly VolumeMap[], wanted: readonly VolumeMap[]): FileChange[] {
  const changes: FileChange[] = [];
  const writable = (map: VolumeMap) => map.access === Access.READ_WRITE;
  for (const map of wanted) {
    const before = there.find(({ fileName }) => fileName === map.fileName);
    const add = (kind: Kind) => changes.push({ path: map.fileName, kind });
    if (before === undefined) add(Kind.ADDED);
    else if (writable(map) !== writable(before)) add(writable(map) ? Kind.MADE_WRITABLE : Kind.MADE_READ_ONLY);
  }
  for (const { fileName: path } of there) {
    if (!wanted.some(({ fileName }) => fileName === path)) changes.push({ path, kind: Kind.REMOVED });
  }
  return changes;
}

function shape({ maps, gid, userNamespace }: PublishVolumeRequest): string {
  return JSON.stringify([maps, gid, userNamespace]);
}
