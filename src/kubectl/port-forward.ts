import type { IncomingMessage } from 'node:http';
import { Agent } from 'node:https';
import { Duplex } from 'node:stream';
import type { KubeConfig } from '@kubernetes/client-node';
import WebSocket from 'ws';
import { CallError, unavailable } from '../errors.ts';
import { type ApiRequest, fromAnswer, fromFailure, isRecord } from '../kubernetes/api-error.ts';
import { credentialsOf } from '../kubernetes/credentials.ts';
import { orAborted } from '../kubernetes/or-aborted.ts';
import { resourcePath } from '../kubernetes/resource.ts';
import { version } from '../version.ts';
import { YOU } from './you.ts';

/** A port in a pod's network namespace. Loopback addresses are reached too. */
export interface PodPort {
  readonly namespace: string;
  readonly pod: string;
  readonly port: number;
}

/** Opens connections to ports of pods through the API server. */
export interface PortForwarder {
  /**
   * Throws an ApiError if the API server refuses, and UNAVAILABLE if it does not answer. If nothing listens on the port, the connection
   * fails later, with the container runtime's error. An aborted signal destroys the connection.
   */
  connect(to: PodPort, signal: AbortSignal): Promise<Duplex>;
}

const PORT_FORWARDS = { group: '', version: 'v1', plural: 'pods', subresource: 'portforward' };

/**
 * Each frame begins with the number of its channel: 0 for data, 1 for an error. The first frame of each has the port's number.
 * https://github.com/kubernetes/kubernetes/blob/v1.36.0/staging/src/k8s.io/cri-streaming/pkg/streaming/portforward/websocket.go
 */
const PROTOCOL = 'v4.channel.k8s.io';
const PORT_BYTES = 2;

/** Bytes of a frame; the API server's have up to 32 KiB. */
const MAX_FRAME_BYTES = 1 << 20;
/** Bytes of an error that are shown. */
const MAX_ERROR_BYTES = 1024;

/** For the API server of the current context. */
export function createPortForwarder(config: KubeConfig): PortForwarder {
  const cluster = config.getCurrentCluster();
  const credentials = credentialsOf(config);
  // Each connection is a WebSocket of its own; the agent remembers TLS sessions, which saves most of the handshake.
  const direct = new Agent({ keepAlive: false });
  return {
    async connect({ namespace, pod, port }, signal) {
      const key = { namespace, name: pod };
      const server = cluster?.server ?? '';
      const { agent, headers, ...credential } = await orAborted(credentials(), signal);
      signal.throwIfAborted();
      const url = `${server.replace(/^http/, 'ws')}${resourcePath(PORT_FORWARDS, key)}?ports=${port}`;
      // The types of ws do not have all options of https.request(), to which it passes them.
      const options = {
        ...credential,
        agent: cluster?.proxyUrl === undefined ? direct : agent,
        headers: { ...headers, 'user-agent': `kubectl-bpffs/${version}` },
        maxPayload: MAX_FRAME_BYTES,
        perMessageDeflate: false,
      } as unknown as WebSocket.ClientOptions;
      const socket = new WebSocket(url, PROTOCOL, options);
      const connection = asDuplex(socket);
      signal.addEventListener('abort', () => connection.destroy(CallError.from(signal.reason)), { once: true });
      return await new Promise((resolve, reject) => {
        connection.once('error', reject);
        socket.once('open', () => {
          connection.off('error', reject);
          resolve(connection);
        });
        socket.once('unexpected-response', (_, response) => {
          readStart(response).then((body) => {
            const request: ApiRequest = { verb: deniedVerb(body), resource: PORT_FORWARDS, key };
            connection.destroy(fromAnswer(response.statusCode ?? 0, body, request, YOU));
          }, reject);
        });
        socket.once('error', (error) => connection.destroy(fromFailure(error, server)));
      });
    },
  };
}

/** A WebSocket begins with a GET. From Kubernetes 1.35 on it takes the right to create, too. */
function deniedVerb(body: unknown): ApiRequest['verb'] {
  return isRecord(body) && String(body.message).includes('cannot create resource') ? 'create' : 'get';
}

/** The data channel of a WebSocket. */
function asDuplex(socket: WebSocket): Duplex {
  const headed = new Set<number>();
  const duplex = new Duplex({
    read: () => socket.resume(),
    write(chunk: Buffer, _, done) {
      socket.send(Buffer.concat([Buffer.of(0), chunk]), done);
    },
    final(done) {
      // There is no half-closed connection: the answer has to end by itself.
      done();
    },
    destroy(error, done) {
      socket.terminate();
      done(error);
    },
  });
  socket.on('message', (frame: Buffer) => {
    const [channel = -1] = frame;
    const skipped = headed.has(channel) ? 1 : 1 + PORT_BYTES;
    headed.add(channel);
    const data = frame.subarray(skipped);
    if (data.length === 0) return;
    if (channel === 1) {
      const text = data.subarray(0, MAX_ERROR_BYTES).toString('utf8').trim();
      duplex.destroy(unavailable(text));
    } else if (channel === 0 && !duplex.push(data)) {
      socket.pause();
    }
  });
  socket.once('close', () => duplex.push(null));
  return duplex;
}

/** A Status object as JSON, or the start of another text. */
async function readStart(response: IncomingMessage): Promise<unknown> {
  let text = '';
  response.setEncoding('utf8');
  for await (const chunk of response) {
    text += chunk;
    if (text.length > MAX_FRAME_BYTES) break;
  }
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
