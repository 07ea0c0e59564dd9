import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { BadConfiguration } from '../errors.ts';

/** Where an HTTP server listens. Port 0: any free port. */
export interface HttpAddress {
  /** Empty: all addresses, which are those of IPv4 alone where the kernel has no IPv6. */
  readonly host: string;
  readonly port: number;
}

/** A listening HTTP server. */
export interface HttpServer {
  /** As bound, with the actual port. */
  readonly address: string;
  close(): void;
}

/** What is answered to a request. */
export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
  /** Default: plain text. */
  readonly type?: string;
}

export interface HttpOptions {
  /** By path. Must not throw. */
  readonly routes: Readonly<Record<string, () => Promise<HttpAnswer>>>;
  readonly methods: readonly string[];
  /** Further connections are closed at once. */
  readonly maxConnections: number;
}

/** Connections without a request after this time are closed. */
const ASK_WITHIN_MS = 5000;
/** Connections on which nothing moves for this time are closed: longer than any answer takes. */
const MOVE_WITHIN_MS = 30_000;

/**
 * Listens for requests without a body, and answers 404 to other paths than `routes` has, 405 to other methods. Throws BadConfiguration when
 * the address cannot be used.
 */
export async function listenHttp(
  { host, port }: HttpAddress,
  { routes, methods, maxConnections }: HttpOptions,
): Promise<HttpServer> {
  const answerTo = async (method: string, url: string): Promise<HttpAnswer> => {
    const [path = ''] = url.split('?', 1);
    if (!methods.includes(method)) return { status: 405, body: 'only GET\n' };
    const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
    return route === undefined ? { status: 404, body: `only ${Object.keys(routes).join(', ')}\n` } : await route();
  };
  const limits = {
    headersTimeout: ASK_WITHIN_MS,
    requestTimeout: ASK_WITHIN_MS,
    keepAliveTimeout: ASK_WITHIN_MS,
    connectionsCheckingInterval: ASK_WITHIN_MS,
  };
  const server = createServer(limits, async ({ method = '', url = '' }, response) => {
    const { status, body, type = 'text/plain; charset=utf-8' } = await answerTo(method, url);
    response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) }).end(body);
  });
  server.maxConnections = maxConnections;
  server.setTimeout(MOVE_WITHIN_MS);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(new BadConfiguration([`cannot listen on ${host}:${port}: ${error.message}`])),
    );
    server.listen(port, host, resolve);
  });
  const bound = server.address() as AddressInfo;
  return {
    address: bound.family === 'IPv6' ? `[${bound.address}]:${bound.port}` : `${bound.address}:${bound.port}`,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
