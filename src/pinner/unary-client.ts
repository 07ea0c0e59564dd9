import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
} from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { CallError, Code, unavailable, whileWaiting } from '../errors.ts';

/** When a call ends, and what cancels it. */
export interface CallLimits {
  /** Milliseconds since the epoch. A call ends after a minute at the latest. */
  readonly deadline: number;
  readonly signal?: AbortSignal;
}

/** A generated unary method. */
export interface Method<Req, Res> {
  readonly path: string;
  readonly requestSerialize: (request: Req) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Res;
}

/** Calls unary gRPC methods of one server over one persistent connection. */
export interface UnaryClient {
  /**
   * Throws a CallError with the server's code and text; UNAVAILABLE, at once, when nothing listens at the socket or the connection is lost;
   * RESOURCE_EXHAUSTED for too long a response; DEADLINE_EXCEEDED; or the reason of the signal. The last three cancel the call at the
   * server.
   */
  call<Req, Res>(method: Method<Req, Res>, request: Req, limits: CallLimits): Promise<Res>;
  close(): void;
}

/** The upper limit of all deadlines. */
const MAX_CALL_MS = 60_000;
/** The default limit of gRPC's own clients. */
const MAX_ANSWER_BYTES = 4 << 20;
/** Before each message: a flag for compression, and the length. */
const PREFIX_BYTES = 5;

/**
 * gRPC on node:http2 (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md), for unary calls over a unix socket only. With
 * grpc-js's client in its place, a publish of two maps takes 7 to 17 % longer with one caller, 18 to 22 % with 8 and 14 to 25 % with 32
 * (p50 of 5,000 publishes each, both node plugins at once, calls in turns; grpc-js 1.14.7, Node 26): its load balancing, retries and
 * filters are not needed here. Connects at the first call, and again at the first call after a lost connection.
 *
 * `server`: its name in errors; `socket`: an absolute path.
 */
export function createUnaryClient(server: string, socket: string): UnaryClient {
  const endpoint = `${server} at unix://${socket}`;
  let current: ClientHttp2Session | undefined;

  function session(): ClientHttp2Session {
    if (current !== undefined && !current.closed && !current.destroyed) return current;
    current = connect('http://localhost', { createConnection: () => connectSocket(socket) });
    // Each call of the session reports the error itself.
    current.on('error', () => undefined);
    return current;
  }

  function open(path: string, timeoutMs: number): ClientHttp2Stream {
    try {
      return session().request({
        ':method': 'POST',
        ':path': path,
        'content-type': 'application/grpc',
        te: 'trailers',
        'grpc-timeout': `${Math.max(1, Math.ceil(timeoutMs))}m`,
      });
    } catch (error) {
      throw unavailable(`${endpoint} does not answer: ${(error as Error).message}`, error);
    }
  }

  return {
    call(method, request, { deadline, signal }) {
      return new Promise((resolve, reject) => {
        signal?.throwIfAborted();
        const remaining = Math.min(deadline - Date.now(), MAX_CALL_MS);
        // Serialized first: if this throws, no stream stays open.
        const message = frame(method.requestSerialize(request));
        const stream = open(method.path, remaining);
        const chunks: Buffer[] = [];
        let received = 0;
        let status: CallError | 'ok' | undefined;
        let failure: Error | undefined;
        const readStatus = (headers: IncomingHttpHeaders) => {
          status ??= parseStatus(headers);
        };
        const cancel = () => stream.close(constants.NGHTTP2_CANCEL);
        const timer = setTimeout(() => {
          failure = new CallError(Code.DEADLINE_EXCEEDED, `${endpoint} did not answer in time`);
          cancel();
        }, remaining);
        signal?.addEventListener('abort', cancel, { once: true });
        // The status is in the headers if there is no message, else in the trailers.
        stream.on('response', readStatus);
        stream.on('trailers', readStatus);
        stream.on('data', (chunk: Buffer) => {
          received += chunk.length;
          if (received <= MAX_ANSWER_BYTES) return void chunks.push(chunk);
          const limit = `${MAX_ANSWER_BYTES >> 20} MiB`;
          failure ??= new CallError(Code.RESOURCE_EXHAUSTED, `${endpoint} answers with more than ${limit}`);
          cancel();
        });
        stream.on('error', (error) => {
          failure ??= error;
        });
        const settle = () => {
          clearTimeout(timer);
          signal?.removeEventListener('abort', cancel);
          if (status === 'ok') {
            try {
              resolve(method.responseDeserialize(unframe(chunks)));
            } catch (error) {
              reject(new CallError(Code.INTERNAL, `${endpoint} sent what is no answer`, { cause: error }));
            }
          } else if (status !== undefined) reject(status);
          else if (signal?.aborted) reject(whileWaiting(signal.reason, endpoint));
          else if (failure instanceof CallError) reject(failure);
          else reject(unavailable(`${endpoint} does not answer: ${reasonOf(failure)}`, failure));
        };
        // A complete response settles when it ends; everything else when the stream closes.
        stream.on('end', () => status !== undefined && settle());
        stream.on('close', settle);
        stream.end(message);
      });
    },
    close() {
      current?.close();
    },
  };
}

/** For a call that could not be sent, node:http2 reports a cancellation with the actual error as its cause. */
function reasonOf(failure: Error | undefined): string {
  const cause = failure?.cause instanceof Error ? failure.cause : failure;
  return cause?.message ?? 'connection lost';
}

function frame(message: Buffer): Buffer {
  const framed = Buffer.allocUnsafe(PREFIX_BYTES + message.length);
  framed.writeUInt8(0, 0);
  framed.writeUInt32BE(message.length, 1);
  message.copy(framed, PREFIX_BYTES);
  return framed;
}

/** The only message of a response. Throws unless there is exactly one, not compressed. */
function unframe(chunks: readonly Buffer[]): Buffer {
  const framed = chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
  if (framed.readUInt8(0) !== 0 || framed.readUInt32BE(1) !== framed.length - PREFIX_BYTES) {
    throw new Error(`a message of ${framed.length} bytes is not framed as one`);
  }
  return framed.subarray(PREFIX_BYTES);
}

/** Undefined: the headers have no status. */
function parseStatus(headers: IncomingHttpHeaders): CallError | 'ok' | undefined {
  const code = headers['grpc-status'];
  if (code === undefined) return undefined;
  if (code === '0') return 'ok';
  const text = String(headers['grpc-message'] ?? '');
  return new CallError(Number(code), decodePercent(text));
}

/** Returns an incorrectly encoded text as it is. */
function decodePercent(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
