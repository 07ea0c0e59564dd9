import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type CallOptions,
  type ClientUnaryCall,
  status as Code,
  credentials,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import { createLogger } from '../../src/logger.ts';
import type { FilePolicyConfig, NodeConfig } from '../../src/node/config.ts';
import { startNodePlugin } from '../../src/node/node-plugin.ts';
import { IdentityClient, NodeClient } from '../../src/rpc/client.ts';
import { VolumeCapability_AccessMode_Mode as Mode, type NodePublishVolumeRequest } from '../../src/rpc/csi.ts';
import { type FakePinner, startFakePinner } from './fake-pinner.ts';

export const CATALOG = `
apiVersion: bpffs.dev/v1alpha1
kind: BpfMap
metadata: { name: flows }
spec: { source: { pinned: { path: /sys/fs/bpf/netobserv/flows } } }
---
apiVersion: bpffs.dev/v1alpha1
kind: BpfMap
metadata: { name: limits }
spec: { source: { loaded: { map: limits, program: xdp_limit } }, maxAccess: ReadWrite }
---
apiVersion: bpffs.dev/v1alpha1
kind: BpfMap
metadata: { name: limits-old }
spec: { source: { created: { type: hash, keySize: 4, valueSize: 8, maxEntries: 16 } }, fileName: limits, maxAccess: ReadWrite }
---
apiVersion: bpffs.dev/v1alpha1
kind: BpfMap
metadata: { name: keys }
spec: { source: { pinned: { path: /sys/fs/bpf/keys } }, maxAccess: ReadWrite }
---
apiVersion: bpffs.dev/v1alpha1
kind: BpfMap
metadata: { name: agent }
spec: { source: { workspace: { namespace: net, claim: agent, path: maps/agent } } }
`;

export const GRANTS = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: collector }
rules:
- { apiGroups: [bpffs.dev], resources: [bpfmaps], resourceNames: [flows, limits, limits-old, agent], verbs: [read, write] }
- { apiGroups: [bpffs.dev], resources: [bpfmaps], resourceNames: [keys], verbs: [read] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: collector, namespace: prod }
roleRef: { kind: ClusterRole, name: collector }
subjects: [{ kind: ServiceAccount, name: collector }]
`;

/** One line of the plugin's log. */
export type LogLine = Readonly<Record<string, unknown>>;

/** The real node plugin on real sockets in its own directory, with a fake pinner. */
export interface Harness extends AsyncDisposable {
  readonly directory: string;
  readonly config: NodeConfig;
  readonly files: FilePolicyConfig;
  readonly identity: IdentityClient;
  readonly node: NodeClient;
  readonly pinner: FakePinner;
  readonly log: readonly LogLine[];
  /** http://HOST:PORT */
  readonly http: string;
  /** http://HOST:PORT of the inspection. */
  readonly inspection: string;
  readonly pinnerSocket: string;
}

export async function startHarness(
  { volumes, ...overrides }: Partial<NodeConfig> & { readonly volumes?: string | null | undefined } = {},
  withPinner = true,
  preparePinner: (pinner: FakePinner) => void = () => {},
): Promise<Harness> {
  await using stack = new AsyncDisposableStack();
  const directory = mkdtempSync(join(tmpdir(), 'bpffs-'));
  stack.defer(() => rmSync(directory, { recursive: true }));
  const pinnerSocket = join(directory, 'pinner.sock');
  const pinner = await startFakePinner(pinnerSocket);
  stack.defer(() => pinner.stop());
  preparePinner(pinner);
  if (!withPinner) await pinner.stop();
  const files: FilePolicyConfig = {
    kind: 'files',
    catalog: join(directory, 'catalog.yaml'),
    grants: join(directory, 'grants.yaml'),
    volumes: volumes === null ? undefined : (volumes ?? join(directory, 'volumes')),
  };
  const config: NodeConfig = {
    driverName: 'csi.bpffs.dev',
    nodeId: 'node-1',
    endpoint: join(directory, 'csi.sock'),
    pinnerEndpoint: pinnerSocket,
    registrationSocket: undefined,
    kubeletEndpoint: '/var/lib/kubelet/plugins/csi.bpffs.dev/csi.sock',
    policy: files,
    http: { host: '127.0.0.1', port: 0 },
    maxCalls: 32,
    maxQueuedCalls: 512,
    inspection: { host: '127.0.0.1', port: 0 },
    seccompProfile: undefined,
    drainTimeoutMs: 2000,
    logLevel: 'info',
    ...overrides,
  };
  if (files.volumes !== undefined) mkdirSync(files.volumes, { recursive: true });
  writeFileSync(files.catalog, CATALOG);
  writeFileSync(files.grants, GRANTS);
  const log: LogLine[] = [];
  const plugin = await startNodePlugin(
    config,
    join(import.meta.dirname, '../..'),
    createLogger(config.logLevel, { write: (line) => void log.push(JSON.parse(line) as LogLine) }),
  );
  stack.defer(() => plugin.stop());
  const address = `unix://${config.endpoint}`;
  const identity = stack.adopt(new IdentityClient(address, credentials.createInsecure()), (client) => client.close());
  const node = stack.adopt(new NodeClient(address, credentials.createInsecure()), (client) => client.close());
  const owned = stack.move();
  return {
    directory,
    config,
    files,
    identity,
    node,
    pinner,
    log,
    http: `http://${plugin.httpAddress}`,
    inspection: `http://${plugin.inspectionAddress}`,
    pinnerSocket,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** A granted request: flows read-only and limits writable, for system:serviceaccount:prod:collector. */
export function publishRequest(
  change: (request: NodePublishVolumeRequest) => void = () => {},
): NodePublishVolumeRequest {
  const request: NodePublishVolumeRequest = {
    volumeId: 'csi-1',
    publishContext: {},
    stagingTargetPath: '',
    targetPath: '/var/lib/kubelet/pods/1/volumes/kubernetes.io~csi/maps/mount',
    volumeCapability: {
      mount: { fsType: '', mountFlags: [], volumeMountGroup: '' },
      accessMode: { mode: Mode.SINGLE_NODE_WRITER },
    },
    readonly: false,
    secrets: {},
    volumeContext: {
      maps: 'flows, limits:rw',
      'csi.storage.k8s.io/pod.name': 'collector-0',
      'csi.storage.k8s.io/pod.namespace': 'prod',
      'csi.storage.k8s.io/pod.uid': '0d6c2a1e-6f0f-4c0d-9f64-3f7d4c1b1c11',
      'csi.storage.k8s.io/serviceAccount.name': 'collector',
      'csi.storage.k8s.io/ephemeral': 'true',
    },
  };
  change(request);
  return request;
}

/** The outcome of a call. */
export interface Outcome<Res> {
  readonly code: string;
  readonly message: string;
  readonly response: Res | undefined;
}

type Method<Req, Res> = (
  request: Req,
  metadata: Metadata,
  options: Partial<CallOptions>,
  done: (error: ServiceError | null, response: Res) => void,
) => ClientUnaryCall;

/** Makes a call and never throws: `await call(node, node.nodePublishVolume, request)`. */
export function call<Req, Res>(
  client: IdentityClient | NodeClient,
  method: Method<Req, Res>,
  request: Req,
  options: Partial<CallOptions> = {},
  started: (running: ClientUnaryCall) => void = () => {},
): Promise<Outcome<Res>> {
  return new Promise((resolve) => {
    started(
      method.call(client, request, new Metadata(), options, (error, response) => {
        resolve(
          error === null
            ? { code: 'OK', message: '', response }
            : { code: Code[error.code], message: error.details, response: undefined },
        );
      }),
    );
  });
}

/** Waits until `condition` holds; fails after a minute. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 60_000; Date.now() < end; await sleep(20)) if (await condition()) return;
  throw new Error(`waited in vain until ${what}`);
}
