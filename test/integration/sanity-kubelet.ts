import { existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import {
  Client,
  credentials,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type sendUnaryData,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { volumeData, volumeDataOf } from '../../src/cli/kubelet.ts';
import { IdentityService, NodeService } from '../../src/rpc/csi.ts';

/** The paths in a request of csi-sanity. */
interface Placed {
  readonly volumeId: string;
  targetPath?: string;
  volumePath?: string;
  volumePublishPath?: string;
}

/**
 * Stands between csi-sanity and the driver. csi-sanity publishes at `target` and `other_target` in its own directory, but the
 * driver only where a kubelet would. So each becomes a volume of one pod here, with a symbolic link where csi-sanity looks.
 */
export async function serveAsKubelet(socket: string, csiSocket: string, kubeletDirectory: string) {
  const client = new Client(`unix://${csiSocket}`, credentials.createInsecure());
  const server = new Server();

  function placed(path: string): string {
    if (!path.endsWith('target')) return path;
    return join(kubeletDirectory, 'pods/sanity/volumes/kubernetes.io~csi', basename(path), 'mount');
  }
  function asKubelet(name: string, request: Placed): Placed {
    const asked = request.targetPath;
    for (const field of ['targetPath', 'volumePath', 'volumePublishPath'] as const) {
      const path = request[field];
      if (path) request[field] = placed(path);
    }
    if (name === 'NodePublishVolume' && request.targetPath !== asked) {
      mkdirSync(dirname(request.targetPath ?? ''), { recursive: true });
      writeFileSync(volumeData(request.targetPath ?? ''), volumeDataOf(request.volumeId, true));
    }
    return request;
  }
  /** Makes csi-sanity's path show whether something is at the target. */
  function show(asked: string, target: string): void {
    rmSync(asked, { force: true });
    if (existsSync(target)) symlinkSync(target, asked);
  }

  for (const service of [await IdentityService.definition(), await NodeService.definition()]) {
    const implementation: UntypedServiceImplementation = {};
    for (const [name, method] of Object.entries(service)) {
      implementation[name] = (call: ServerUnaryCall<Placed, unknown>, reply: sendUnaryData<unknown>) => {
        const asked = call.request.targetPath;
        const request = asKubelet(name, call.request);
        const { requestSerialize, responseDeserialize } = method;
        client.makeUnaryRequest(method.path, requestSerialize, responseDeserialize, request, (error, answer) => {
          if (asked && request.targetPath && request.targetPath !== asked) show(asked, request.targetPath);
          reply(error, answer ?? null);
        });
      };
    }
    server.addService(service, implementation);
  }
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(`unix://${socket}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    ),
  );
  return {
    socket,
    close() {
      client.close();
      server.forceShutdown();
    },
  };
}
