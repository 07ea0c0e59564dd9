import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
} from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { CallError, Code, unavailable, whileWaiting } from '../errors.ts';

/** Until when an answer is of use, and what takes the question back. */
export interface CallLimits {
  /** Milliseconds since the epoch; Infinity: a minute from now. */
  readonly deadline: number;
  readonly signal?: AbortSignal;
}

/** A unary method, as generated. */
export interface Method<Req, Res> {
  readonly path: string;
  readonly requestSerialize: (request: Req) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Res;
}

/** Calls unary gRPC methods of one server over one kept connection. */
export interface UnaryClient {
  /**
   * Throws a CallError with the server's own code and text; UNAVAILABLE, at once, when nobody answers at the socket or the
   * connection is lost; RESOURCE_EXHAUSTED for an answer that is too long; DEADLINE_EXCEEDED; or the reason of the signal. The server
   * learns of the last three.
   */
  call<Req, Res>(method: Method<Req, Res>, request: Req, limits: CallLimits): Promise<Res>;
  close(): void;
}

/** Nobody waits for ever, whatever the caller said. */
const MAX_CALL_MS = 60_000;
/** What gRPC's own clients take at most. */
const MAX_ANSWER_BYTES = 4 << 20;
/** A flag for compression and the length of the message, before each message. */
const PREFIX_BYTES = 5;

/**
 * gRPC on node:http2 (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md), for unary calls over a unix socket
 * alone. A publish spends most of its time in this process on HTTP/2; going without grpc-js's client, whose load balancing,
 * retries and filters have nothing to do here, takes a third off the whole call. Nothing is dialled before the first call,
 * and a lost connection is dialled again by the next.
 *
 * `server`: what errors call it; `socket`: an absolute path.
 */
export function createUnaryClient(server: string, socket: string): UnaryClient {
  const endpoint = `${server} at unix://${socket}`;
  let current: ClientHttp2Session | undefined;

  function session(): ClientHttp2Session {
    if (current !== undefined && !current.closed && !current.destroyed) return current;
    current = connect('http://localhost', { createConnection: () => connectSocket(socket) });
    // Each call of the session fails by itself and says why.
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
        // Whatever may throw does so before there is a stream, which would stay open.
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
        // The status stands in the headers when there is no message, else in the trailers.
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
        // A whole answer is one as soon as it ends; anything else is known when the stream has closed.
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

/** node:http2 says of a call that could not be sent that it was cancelled; why stands in the cause. */
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

/** The one message of an answer. Throws if there is not exactly one, or it is compressed, which nobody asked for. */
function unframe(chunks: readonly Buffer[]): Buffer {
  const framed = chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
  if (framed.readUInt8(0) !== 0 || framed.readUInt32BE(1) !== framed.length - PREFIX_BYTES) {
    throw new Error(`a message of ${framed.length} bytes is not framed as one`);
  }
  return framed.subarray(PREFIX_BYTES);
}

/** Undefined when the headers hold no status. */
function parseStatus(headers: IncomingHttpHeaders): CallError | 'ok' | undefined {
  const code = headers['grpc-status'];
  if (code === undefined) return undefined;
  if (code === '0') return 'ok';
  const text = String(headers['grpc-message'] ?? '');
  return new CallError(Number(code), decodePercent(text));
}

/** A text that is not encoded as it should be is better shown as it is than lost. */
function decodePercent(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
