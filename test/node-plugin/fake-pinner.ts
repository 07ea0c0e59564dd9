import { rmSync } from 'node:fs';
import { status as Code, Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js';
import {
  type FileChange,
  type GetNodeResponse,
  type MapDescription,
  PublishVolumeResponse_Outcome as Outcome,
  type PinnerHandlers,
  PinnerService,
  type PublishDelegationRequest,
  type PublishVolumeRequest,
  type PublishWorkspaceRequest,
  type Source,
} from '../../src/rpc/pinner.ts';
import { changesBetween, type FindMap, publishFiles, type VolumeFiles } from './volume-files.ts';

/** A pinner as in pinner.proto, but without a kernel: volumes are entries of a Map. Real gRPC, on a real socket. */
export interface FakePinner {
  /** The last request of each volume, by target path. */
  readonly volumes: Map<string, PublishVolumeRequest>;
  /** The files of each volume, by target path. */
  readonly files: Map<string, VolumeFiles>;
  /** Workspaces, by target path. */
  readonly workspaces: Map<string, PublishWorkspaceRequest>;
  /** Delegations, by target path. */
  readonly delegations: Map<string, PublishDelegationRequest>;
  /** Those of them that their pods may not use any more. */
  readonly withdrawn: Set<string>;
  /** Ids of kept volumes. */
  readonly kept: Set<string>;
  /**
   * Ids of maps: in a volume, by file name; at a source, by the last part of its path or name, where 0 means that there is
   * none. Other maps get ids from 1 upwards.
   */
  readonly mapIds: { readonly inVolume: Map<string, number>; readonly atSource: Map<string, number> };
  /** How many generations each volume reports. */
  generations: number;
  /** The answer to GetNode. */
  node: GetNodeResponse;
  /** The changes reported when a workspace is published again. */
  workspaceChanges: FileChange[];
  /** The methods of calls that were cancelled or exceeded their deadline. */
  readonly cancelled: string[];
  /** The deadline of the last call; milliseconds since the epoch. */
  lastDeadline: number;
  /** If set, every call ends with this status, except those of one method. */
  failWith: { readonly code: Code; readonly details: string; readonly but?: string } | undefined;
  /** If set, PublishVolume waits for it. */
  hold: Promise<void> | undefined;
  stop(): Promise<void>;
}

type Handler<Req, Res> = (request: Req) => Promise<Res> | Res;

/** The size of every map, in bytes. */
export const MAP_BYTES = 4096;

export async function startFakePinner(socket: string): Promise<FakePinner> {
  const server = new Server();
  const volumes = new Map<string, PublishVolumeRequest>();
  const workspaces = new Map<string, PublishWorkspaceRequest>();
  const delegations = new Map<string, PublishDelegationRequest>();
  const withdrawn = new Set<string>();
  const files = new Map<string, VolumeFiles>();
  const kept = new Set<string>();
  const mapIds = { inVolume: new Map<string, number>(), atSource: new Map<string, number>() };
  const pinner: FakePinner = {
    volumes,
    files,
    workspaces,
    delegations,
    withdrawn,
    kept,
    mapIds,
    generations: 1,
    node: {
      kernelRelease: '6.12.0',
      version: '0.1.0',
      features: [],
      droppedLogLines: 3,
      pinRoots: [{ path: '/sys/fs/bpf', bpfFilesystem: true, problem: '' }],
      kubeletDir: '/var/lib/kubelet',
    },
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

  const known = new Map<string, number>();
  const findMap: FindMap = (source) => {
    const text = JSON.stringify(source);
    const id = mapIds.atSource.get(sourceName(source)) ?? known.get(text) ?? known.size + 1;
    if (!mapIds.atSource.has(sourceName(source))) known.set(text, id);
    return id === 0 ? undefined : id;
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

  const implementation: PinnerHandlers = {
    PublishVolume: handle('PublishVolume', async (request) => {
      await pinner.hold;
      const { targetPath, renew } = request;
      const [before, there] = [volumes.get(targetPath), files.get(targetPath)];
      if (before !== undefined && shape(before) !== shape(request)) {
        throw { code: Code.ALREADY_EXISTS, details: `${targetPath} was published before with another group` };
      }
      if (before !== undefined && request.request !== '' && request.request !== before.request) {
        throw {
          code: Code.ALREADY_EXISTS,
          details: `${targetPath} was published before with another request: it cannot change`,
        };
      }
      const { files: now, refusals } = publishFiles(there, request, findMap);
      for (const { source } of request.maps) {
        if (source?.created?.volumeId) kept.add(source.created.volumeId);
      }
      volumes.set(targetPath, request);
      files.set(targetPath, now);
      const maps = [...now.values()];
      if (there === undefined) return { outcome: Outcome.CREATED, changes: [], refusals, maps };
      const changes = renew ? changesBetween(there, now) : [];
      if (changes.length === 0) return { outcome: Outcome.UNCHANGED, changes, refusals, maps: [] };
      return { outcome: Outcome.REPLACED, changes, refusals, maps };
    }),
    PublishWorkspace: handle('PublishWorkspace', (request) => {
      workspaces.set(request.targetPath, request);
      kept.add(request.volumeId);
      return { outcome: Outcome.CREATED, changes: pinner.workspaceChanges, refusals: [], maps: [] };
    }),
    PublishDelegation: handle('PublishDelegation', (request) => {
      const outcome = delegations.has(request.targetPath) ? Outcome.UNCHANGED : Outcome.CREATED;
      delegations.set(request.targetPath, request);
      return { outcome, changes: [], refusals: [], maps: [] };
    }),
    AllowDelegation: handle('AllowDelegation', ({ targetPath, allowed }) => {
      if (allowed) withdrawn.delete(targetPath);
      else withdrawn.add(targetPath);
      return {};
    }),
    UnpublishVolume: handle('UnpublishVolume', ({ volumeId, targetPath }) => {
      const there = volumes.get(targetPath);
      if (there !== undefined && there.volumeId !== volumeId) {
        throw {
          code: Code.FAILED_PRECONDITION,
          details: `${targetPath}: is volume ${there.volumeId}, not ${volumeId}`,
        };
      }
      volumes.delete(targetPath);
      files.delete(targetPath);
      workspaces.delete(targetPath);
      delegations.delete(targetPath);
      return {};
    }),
    GetVolumeStats: handle('GetVolumeStats', ({ targetPath }) => {
      const there = files.get(targetPath);
      if (there === undefined) throw { code: Code.NOT_FOUND, details: `no volume at ${targetPath}` };
      return { maps: there.size, memoryBytes: there.size * MAP_BYTES };
    }),
    DescribeVolume: handle('DescribeVolume', ({ volumeId, targetPath }) => {
      const workspace = workspaces.get(targetPath);
      if (workspace?.volumeId === volumeId) {
        return { workspace: !workspace.readOnly, files: [], generations: pinner.generations, leftOut: 0 };
      }
      if (delegations.get(targetPath)?.volumeId === volumeId) {
        return { workspace: false, files: [], generations: 1, leftOut: 0 };
      }
      const there = volumes.get(targetPath);
      if (there?.volumeId !== volumeId) throw { code: Code.NOT_FOUND, details: `no volume at ${targetPath}` };
      const shown = [...(files.get(targetPath) ?? [])].map(([path, { mapId, access }]) => ({
        path,
        access,
        map: description(mapIds.inVolume.get(path) ?? mapId),
      }));
      return {
        workspace: false,
        files: shown.filter(({ map }) => map.id !== 0),
        generations: pinner.generations,
        leftOut: 0,
      };
    }),
    ListKeptVolumes: handle('ListKeptVolumes', () => ({ volumeIds: [...kept] })),
    ReleaseVolume: handle('ReleaseVolume', ({ volumeId }) => {
      kept.delete(volumeId);
      return {};
    }),
    ReleaseMap: handle('ReleaseMap', () => ({})),
    ListVolumes: handle('ListVolumes', () => ({
      volumes: [...volumes.values(), ...workspaces.values(), ...delegations.values()].map(
        ({ volumeId, targetPath }) => ({
          volumeId,
          targetPath,
        }),
      ),
    })),
    DescribeMap: handle('DescribeMap', ({ source }) => {
      const id = source === null ? undefined : findMap(source);
      if (id === undefined) throw { code: Code.UNAVAILABLE, details: 'nothing is pinned there yet' };
      return { map: description(id) };
    }),
    GetBudget: handle('GetBudget', () => ({
      createdMaps: { used: 1, limit: 1024 },
      createdMemoryBytes: { used: MAP_BYTES, limit: 2 ** 30 },
      workspaces: { used: workspaces.size, limit: 256 },
    })),
    GetNode: handle('GetNode', () => pinner.node),
  };
  server.addService(await PinnerService.definition(), implementation);
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix://${socket}`, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    );
  });
  return pinner;
}

/** `id`: 0 means no map. */
function description(id: number): MapDescription {
  return { id, name: '', type: 'hash', keySize: 4, valueSize: 8, maxEntries: 1, flags: 0, memoryBytes: MAP_BYTES };
}

/** The last element of a pin's path, or the name of a created map. */
function sourceName(source: Source | undefined): string {
  return source?.pinned?.path.split('/').at(-1) ?? source?.created?.name ?? '';
}

/** The properties of a mounted volume that never change. */
function shape({ volumeId, gid, userNamespace }: PublishVolumeRequest): string {
  return JSON.stringify([volumeId, gid, userNamespace]);
}
