import type { IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest, type RequestOptions } from 'node:https';
import type { KubeConfig } from '@kubernetes/client-node';
import { BadConfiguration } from '../errors.ts';
import { version } from '../version.ts';
import { credentialsOf } from './credentials.ts';
import { orAborted } from './or-aborted.ts';

/** One HTTP request to the API server. */
export interface TransportRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly body?: unknown;
  /** Of `body`. Default: JSON. */
  readonly contentType?: string;
  /** A response without an end, which gets a connection of its own. */
  readonly endless?: boolean;
}

/** HTTP/1.1 with persistent connections. */
export interface Transport {
  /** "host:port", or "host" if the port is 443; for error texts. */
  readonly server: string;
  /**
   * Resolves when the response begins, whatever its status; its body must be read or destroyed. Throws UNAVAILABLE without credentials, and
   * otherwise what Node throws.
   */
  send(request: TransportRequest, signal: AbortSignal): Promise<IncomingMessage>;
  close(): void;
}

/** Idle connections to keep, and for how long. Go's server keeps them for 90 s: https://pkg.go.dev/net/http#Server.IdleTimeout */
const MAX_IDLE_CONNECTIONS = 2;
const IDLE_CONNECTION_MS = 60_000;
/** Concurrent requests, not counting endless ones. Callers must queue further requests themselves, so that none waits here. */
export const MAX_CONCURRENT_REQUESTS = 8;

const USER_AGENT = `csi-driver-bpffs/${version}`;

/**
 * Sends requests to the API server of the current context over node:https: as measured, client-node's own requests, which undici makes,
 * take 11 MB more on each node. Its agent keeps no connections, and keeps the first certificates that it read for ever, so it is used only
 * for proxies. Throws BadConfiguration if there is no such API server.
 */
export function createTransport(config: KubeConfig): Transport {
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw new BadConfiguration(['there is no cluster for the current context']);
  const credentials = credentialsOf(config);
  const kept = new Agent({
    keepAlive: true,
    maxSockets: MAX_CONCURRENT_REQUESTS,
    maxFreeSockets: MAX_IDLE_CONNECTIONS,
    timeout: IDLE_CONNECTION_MS,
  });
  const endless = new Agent({ keepAlive: false });
  return {
    server: new URL(cluster.server).host,
    async send({ method, path, body, contentType = 'application/json', ...request }, signal) {
      const { agent, headers, ...credential } = await orAborted(credentials(), signal);
      const content = body === undefined ? undefined : JSON.stringify(body);
      const direct = request.endless ? endless : kept;
      const options = {
        ...credential,
        method,
        signal,
        agent: cluster.proxyUrl === undefined ? direct : agent,
        headers: {
          ...headers,
          accept: 'application/json',
          'user-agent': USER_AGENT,
          ...(content !== undefined && {
            'content-type': contentType,
            'content-length': Buffer.byteLength(content),
          }),
        },
      };
      return await attempt(`${cluster.server}${path}`, options, content);
    },
    close() {
      kept.destroy();
      endless.destroy();
    },
  };
}

function attempt(url: string, options: RequestOptions, content: string | undefined): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const sent = httpsRequest(url, options);
    let answered = false;
    sent.once('response', (response) => {
      answered = true;
      resolve(response);
    });
    sent.on('error', (error: NodeJS.ErrnoException) => {
      // Usually the server has closed an idle connection, but it may have executed the request. Every request of this driver may be sent
      // twice: reads and reviews change nothing, and a second create, patch or delete of the same name and uid changes nothing more, or is
      // rejected (404, 409) as if another client had been first.
      const again = sent.reusedSocket && !answered && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
      if (again && !options.signal?.aborted) attempt(url, options, content).then(resolve, reject);
      else reject(error);
    });
    sent.end(content);
  });
}
