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
  /** With its query. */
  readonly path: string;
  readonly body?: unknown;
  /** Of `body`. Default: JSON. */
  readonly contentType?: string;
  /** An answer that has no end gets a connection of its own. */
  readonly endless?: boolean;
}

/** HTTP/1.1 with kept connections. */
export interface Transport {
  /** "host:port", or "host" where the port is 443; for texts. */
  readonly server: string;
  /**
   * Gives the answer's beginning, whatever its status; its body has to be read or destroyed. Throws UNAVAILABLE when there are no
   * credentials, and else what Node throws.
   */
  send(request: TransportRequest, signal: AbortSignal): Promise<IncomingMessage>;
  close(): void;
}

/** Idle connections that are kept. Go's server keeps its end for 90 s: https://pkg.go.dev/net/http#Server.IdleTimeout */
const MAX_IDLE_CONNECTIONS = 2;
const IDLE_CONNECTION_MS = 60_000;
/** So many requests at a time that have an end: who sends more lets them wait for their turn, so that none does so here. */
export const MAX_CONCURRENT_REQUESTS = 8;

const USER_AGENT = `csi-driver-bpffs/${version}`;

/**
 * To the API server of the current context, as `config` says, over node:https: measured, client-node's own requests, which undici makes,
 * take 11 MB more of each node. Its agent keeps no connections, and for ever the certificates that it saw first, so that it is taken
 * only for the way through a proxy. Throws BadConfiguration if there is no such API server.
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
      // As a rule the server closed a kept connection that was idle, but it may have done what is asked all the same. Every request
      // of this driver may be sent twice: reads and reviews change nothing, and a second create, patch or delete of the same name
      // and uid changes nothing more, or is refused (404, 409) as it would be if another had been first.
      const again = sent.reusedSocket && !answered && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
      if (again && !options.signal?.aborted) attempt(url, options, content).then(resolve, reject);
      else reject(error);
    });
    sent.end(content);
  });
}
