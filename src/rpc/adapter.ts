import type { MethodDefinition, ServerUnaryCall, sendUnaryData, UntypedServiceImplementation } from '@grpc/grpc-js';
import { CallError, Code, faultIn, resourceExhausted } from '../errors.ts';
import type { Logger } from '../logger.ts';
import { type InCode, inCode, type MethodName, type Request, type Response, type Service } from './service.ts';

/** What a handler knows of its call besides the request. */
export interface Call {
  /** Aborted with a CallError, DEADLINE_EXCEEDED or CANCELLED, when the caller no longer waits. */
  readonly signal: AbortSignal;
  /** Milliseconds since the epoch; Infinity: none. */
  readonly deadline: number;
  /** Adds fields to the call's log line: problems of a call that succeeds. Nothing secret. */
  note(fields: Readonly<Record<string, unknown>>): void;
  /** Nothing has changed: if the call succeeds without notes, its log line has level debug. */
  quiet(): void;
}

/** A method with messages of any type. */
type Method = MethodDefinition<unknown, unknown>;

interface CallContext extends Call {
  /** The fields of all notes. */
  readonly notes: Readonly<Record<string, unknown>>;
  isQuiet(): boolean;
  /** Must be called when the call has been handled. */
  release(): void;
}

/** The handlers of a service. What they throw becomes the call's status, by CallError.from. */
export type Handlers<D> = {
  readonly [M in MethodName<D> as InCode<M>]: (
    request: Request<D[M]>,
    call: Call,
  ) => Response<D[M]> | Promise<Response<D[M]>>;
};

/** What is counted of calls. */
export interface CallMetrics {
  /** Calls of this method may come. */
  served(method: string): void;
  callStarted(): void;
  /** `code`: its name in gRPC, such as "OK". */
  callEnded(method: string, code: string, seconds: number): void;
  /** A call failed because of a bug in the driver. */
  faulted(method: string): void;
}

/** A service and its handlers, as grpc-js takes them. */
export interface AdaptedService {
  readonly definition: Readonly<Record<string, Method>>;
  readonly implementation: UntypedServiceImplementation;
}

/**
 * The only place where grpc-js's callbacks meet promises. Whatever happens to a call, it is decoded, handled, answered, counted and logged
 * in one line here. A request that cannot be decoded is INVALID_ARGUMENT.
 */
export function adapt<D extends object>(
  service: Service<D>,
  handlers: Handlers<D>,
  log: Logger,
  metrics: CallMetrics,
): AdaptedService {
  const definition: Record<string, Method> = {};
  const implementation: UntypedServiceImplementation = {};
  for (const name of service.methods) {
    metrics.served(name);
    const path = `/${service.name}/${name}`;
    definition[name] = { path, requestStream: false, responseStream: false, ...AS_BYTES };
    const codec = async () => (await service.definition())[name] as Method;
    const handle = handlers[inCode(name) as keyof Handlers<D>] as (request: unknown, call: Call) => unknown;
    implementation[name] = (call: ServerUnaryCall<Buffer, unknown>, reply: sendUnaryData<unknown>) => {
      void serve(name, codec, handle, call, reply, log, metrics);
    };
  }
  return { definition, implementation };
}

const asIs = (bytes: unknown) => bytes as Buffer;

/**
 * grpc-js passes on bytes. `serve` decodes and encodes, so that malformed messages, and those that cannot be sent, are logged and counted
 * too.
 */
const AS_BYTES = {
  requestSerialize: asIs,
  requestDeserialize: asIs,
  responseSerialize: asIs,
  responseDeserialize: asIs,
};

async function serve(
  name: string,
  codec: () => Promise<Method>,
  handle: (request: unknown, call: Call) => unknown,
  call: ServerUnaryCall<Buffer, unknown>,
  reply: sendUnaryData<unknown>,
  log: Logger,
  metrics: CallMetrics,
): Promise<void> {
  const started = performance.now();
  metrics.callStarted();
  let request: unknown;
  let failure: CallError | undefined;
  const current = context(call);
  try {
    const method = await codec();
    request = decode(method, call.request);
    reply(null, encode(method, await handle(request, current)));
  } catch (error) {
    failure = CallError.from(error);
    reply({ code: failure.code, details: failure.message });
  } finally {
    current.release();
  }
  const code = Code[failure?.code ?? Code.OK];
  const durationMs = performance.now() - started;
  metrics.callEnded(name, code, durationMs / 1000);
  const fault = failure && faultIn(failure);
  if (fault !== undefined) metrics.faulted(name);
  const line = {
    method: name,
    code,
    durationMs: Math.round(durationMs * 1000) / 1000,
    ...subject(request),
    ...current.notes,
    error: failure?.message,
    ...(fault !== undefined && { stack: linesOf(fault.cause instanceof Error ? fault.cause : fault) }),
  };
  if (fault !== undefined || failure?.code === Code.INTERNAL) log.error(line, 'call');
  else if (failure !== undefined || Object.keys(current.notes).length > 0) log.warn(line, 'call');
  else if (current.isQuiet() || READING.test(name)) log.debug(line, 'call');
  else log.info(line, 'call');
}

/** The methods that change nothing. The kubelet and the sidecars call some of them every few seconds. */
const READING = /^(Probe|(Node|Controller)?Get|List|Validate)/;

/** gRPC's own clients take no more, and report it less clearly. */
const MAX_ANSWER_BYTES = 4 << 20;

function encode(method: Method, answer: unknown): Buffer {
  const bytes = method.responseSerialize(answer);
  if (bytes.length <= MAX_ANSWER_BYTES) return bytes;
  throw resourceExhausted(`the answer has ${bytes.length} bytes, and at most ${MAX_ANSWER_BYTES} can be sent`);
}

function linesOf({ stack = '' }: Error): readonly string[] {
  return stack.split('\n').map((line) => line.trim());
}

function decode(method: Method, bytes: Buffer): unknown {
  try {
    return method.requestDeserialize(bytes);
  } catch (error) {
    throw new CallError(Code.INVALID_ARGUMENT, `not a ${method.path.slice(1)} request`, { cause: error });
  }
}

function context(call: ServerUnaryCall<Buffer, unknown>): CallContext {
  const abort = new AbortController();
  const deadline = Number(call.getDeadline());
  const cancel = () => {
    const late = Date.now() >= deadline;
    abort.abort(
      late
        ? new CallError(Code.DEADLINE_EXCEEDED, 'the deadline passed')
        : new CallError(Code.CANCELLED, 'the caller went away'),
    );
  };
  if (call.cancelled) cancel();
  else call.once('cancelled', cancel);
  // grpc-js emits "cancelled" for every call whose stream ends, also after its answer: `release` removes the listener.
  const notes: Record<string, unknown> = {};
  let isQuiet = false;
  return {
    signal: abort.signal,
    deadline,
    notes,
    note: (fields) => void Object.assign(notes, fields),
    isQuiet: () => isQuiet,
    quiet() {
      isQuiet = true;
    },
    release: () => call.off('cancelled', cancel),
  };
}

/** The only fields of a request that are logged. Secrets, tokens and attributes are not among them. */
function subject(request: unknown): { volumeName?: string; volumeId?: string; targetPath?: string; pod?: string } {
  const {
    name: volumeName,
    volumeId,
    targetPath,
    volumePath,
    volumeContext,
  } = (request ?? {}) as {
    /** Only in CreateVolume. */
    name?: string;
    volumeId?: string;
    targetPath?: string;
    volumePath?: string;
    volumeContext?: Readonly<Record<string, string>>;
  };
  const path = targetPath ?? volumePath;
  const podName = volumeContext?.['csi.storage.k8s.io/pod.name'];
  return {
    ...(volumeName !== undefined && { volumeName }),
    ...(volumeId !== undefined && { volumeId }),
    ...(path !== undefined && { targetPath: path }),
    ...(podName !== undefined && { pod: `${volumeContext?.['csi.storage.k8s.io/pod.namespace']}/${podName}` }),
  };
}
