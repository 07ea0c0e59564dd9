import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Client, status as Code, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { ControllerClient, IdentityClient } from '../../src/rpc/client.ts';
import {
  type CreateVolumeRequest,
  VolumeCapability_AccessMode_Mode as Mode,
  type VolumeCapability,
} from '../../src/rpc/csi.ts';

const main = join(import.meta.dirname, '../../src/main.ts');

/** One line of the controller's log. */
export type LogLine = Readonly<Record<string, unknown>>;

/** The real process, with a directory that outlives it. */
export interface Harness extends AsyncDisposable {
  readonly directory: string;
  /** The directory of the volume files. */
  readonly volumes: string;
  readonly socket: string;
  readonly identity: IdentityClient;
  readonly controller: ControllerClient;
  /** The lines of all processes so far. */
  readonly log: readonly LogLine[];
  /** http://HOST:PORT */
  http(): string;
  /** Ends the process and waits until it has ended. */
  end(signal: NodeJS.Signals): Promise<void>;
  /** Starts a new process and waits until it serves. */
  start(): Promise<void>;
}

/** `flags` follow those for the directory. `prepare` runs before the process starts. */
export async function startHarness(
  flags: readonly string[] = [],
  prepare: (volumes: string) => void = () => {},
): Promise<Harness> {
  await using stack = new AsyncDisposableStack();
  const directory = mkdtempSync(join(tmpdir(), 'bpffs-controller-'));
  stack.defer(() => rmSync(directory, { recursive: true }));
  const volumes = join(directory, 'volumes');
  mkdirSync(volumes);
  prepare(volumes);
  const socket = join(directory, 'csi.sock');
  const log: LogLine[] = [];
  let child: ChildProcess | undefined;

  async function start() {
    const started = spawn(
      process.execPath,
      [
        ...[main, 'controller', '--volumes', volumes, '--endpoint', `unix://${socket}`],
        ...['--http-address', '127.0.0.1:0', ...flags],
      ],
      { stdio: ['ignore', 'pipe', 'inherit'], env: {} },
    );
    child = started;
    let rest = '';
    await new Promise<void>((resolve, reject) => {
      started.once('exit', (code, signal) => reject(new Error(`the controller ended: ${code ?? signal}`)));
      started.stdout.setEncoding('utf8').on('data', (chunk: string) => {
        const lines = (rest + chunk).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) {
          log.push(JSON.parse(line) as LogLine);
          if (log.at(-1)?.message === 'serving') resolve();
        }
      });
    });
  }

  async function end(signal: NodeJS.Signals) {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const closed = once(child, 'close');
    child.kill(signal);
    await closed;
  }

  stack.defer(() => end('SIGKILL'));
  await start();
  const connect = <C extends Client>(Kind: new (...args: ConstructorParameters<typeof Client>) => C) =>
    stack.adopt(
      new Kind(`unix://${socket}`, credentials.createInsecure(), {
        'grpc.initial_reconnect_backoff_ms': 20,
        'grpc.max_reconnect_backoff_ms': 100,
      }),
      (client) => client.close(),
    );
  const identity = connect(IdentityClient);
  const controller = connect(ControllerClient);
  const owned = stack.move();
  return {
    directory,
    volumes,
    socket,
    identity,
    controller,
    log,
    http: () => `http://${log.findLast(({ message }) => message === 'serving')?.httpAddress}`,
    end,
    start,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** One ring buffer, of 4 KiB. */
export const NEW_MAPS = '- { name: events, type: ringbuf, maxEntries: 4096 }\n';

export function topology(...nodes: readonly string[]) {
  return nodes.map((node) => ({ segments: { 'topology.csi.bpffs.dev/node': node } }));
}

export function capability(mode: Mode = Mode.SINGLE_NODE_MULTI_WRITER): VolumeCapability {
  return {
    accessMode: { mode },
    mount: { fsType: '', mountFlags: [], volumeMountGroup: '' },
  };
}

/** The parameters of a valid StorageClass, and what external-provisioner adds. */
export function shared(newMaps: string) {
  return {
    type: 'shared',
    newMaps,
    'csi.storage.k8s.io/pvc/name': 'events',
    'csi.storage.k8s.io/pvc/namespace': 'prod',
    'csi.storage.k8s.io/pv/name': 'any',
  };
}

/** A valid request for a volume of type shared on node-1, as external-provisioner sends it. */
export function createRequest(name: string, change: Partial<CreateVolumeRequest> = {}): CreateVolumeRequest {
  return {
    name,
    capacityRange: { requiredBytes: 1 << 20, limitBytes: 0 },
    volumeCapabilities: [capability()],
    parameters: shared(NEW_MAPS),
    secrets: {},
    volumeContentSource: null,
    accessibilityRequirements: { requisite: topology('node-1'), preferred: topology('node-1') },
    mutableParameters: {},
    ...change,
  };
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
  options: { readonly deadline: number },
  done: (error: ServiceError | null, response: Res) => void,
) => unknown;

/** Makes a call and never throws: `await call(controller, controller.createVolume, request)`. */
export function call<Req, Res>(client: Client, method: Method<Req, Res>, request: Req): Promise<Outcome<Res>> {
  return new Promise((resolve) => {
    method.call(
      client,
      request,
      new Metadata({ waitForReady: true }),
      { deadline: Date.now() + 10_000 },
      (error, response) =>
        resolve(
          error === null
            ? { code: 'OK', message: '', response }
            : { code: Code[error.code], message: error.details, response: undefined },
        ),
    );
  });
}

/** Creates a volume; fails the test otherwise. */
export async function makeVolume({ controller }: Harness, name: string, change: Partial<CreateVolumeRequest> = {}) {
  const { code, message, response } = await call(controller, controller.createVolume, createRequest(name, change));
  if (!response?.volume) throw new Error(`CreateVolume: ${code}: ${message}`);
  return response.volume;
}
