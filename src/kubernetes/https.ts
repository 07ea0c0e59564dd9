import type { IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { version } from '../version.ts';
import type { Connection } from './connection.ts';

/** One HTTP request to the API server. */
export interface HttpsRequest {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  /** Of `body`. Default: JSON. */
  readonly contentType?: string;
  /** An answer that has no end gets a connection of its own. */
  readonly endless?: boolean;
}

/** HTTP/1.1 with kept connections. */
export interface Https {
  /** Gives the answer's beginning, whatever its status; its body has to be read or destroyed. Throws what Node throws. */
  send(request: HttpsRequest, signal: AbortSignal): Promise<IncomingMessage>;
  close(): void;
}

/** Idle connections that are kept. Go's server keeps its end for 90 s: https://pkg.go.dev/net/http#Server.IdleTimeout */
const KEPT = 2;
const KEPT_MS = 60_000;
/** So many requests at a time that have an end: who sends more lets them wait for their turn, so that none does so here. */
export const MOST_AT_A_TIME = 8;

const USER_AGENT = `csi-driver-bpffs/${version}`;

/**
 * On node:https, because a driver's process runs on every node: measured, @kubernetes/client-node with its own HTTP client takes
 * 16 to 22 MB more of each.
 */
export function createHttps(connection: Connection): Https {
  const kept = new Agent({ keepAlive: true, maxSockets: MOST_AT_A_TIME, maxFreeSockets: KEPT, timeout: KEPT_MS });
  const endless = new Agent({ keepAlive: false });

  const attempt = (request: HttpsRequest, body: string | undefined, signal: AbortSignal) =>
    new Promise<IncomingMessage>((resolve, reject) => {
      const { ca, token, certificate, serverName } = connection.credentials();
      const sent = httpsRequest({
        method: request.method,
        host: connection.host.replace(/^\[(.*)\]$/, '$1'),
        port: connection.port,
        path: `${connection.basePath}${request.path}`,
        agent: request.endless ? endless : kept,
        ...(ca !== undefined && { ca }),
        ...certificate,
        ...(serverName !== undefined && { servername: serverName }),
        headers: {
          accept: 'application/json',
          'user-agent': USER_AGENT,
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
          ...(body !== undefined && {
            'content-type': request.contentType ?? 'application/json',
            'content-length': Buffer.byteLength(body),
          }),
        },
        signal,
      });
      let answered = false;
      sent.once('response', (response) => {
        answered = true;
        resolve(response);
      });
      sent.on('error', (error: NodeJS.ErrnoException) => {
        // As a rule the server closed a kept connection that was idle, but it may have done what is asked all the same. Every request
        // of this driver may be sent twice: reads and reviews change nothing, and a second create, patch or delete of the same name
        // and uid changes nothing more, or is refused (404, 409) as it would be if another had been first.
        const again = sent.reusedSocket && !answered && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
        if (again && !signal.aborted) attempt(request, body, signal).then(resolve, reject);
        else reject(error);
      });
      sent.end(body);
    });

  return {
    async send(request, signal) {
      return await attempt(request, request.body === undefined ? undefined : JSON.stringify(request.body), signal);
    },
    close() {
      kept.destroy();
      endless.destroy();
    },
  };
}
