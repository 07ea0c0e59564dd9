import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { BadConfiguration, CallError } from '../errors.ts';
import type { MetricsPage } from './metrics.ts';
import { PROBE_TIMEOUT_MS, type Readiness } from './readiness.ts';

/** Where an HTTP server listens. Port 0: any free port. */
export interface HttpAddress {
  readonly host: string;
  readonly port: number;
}

/** The HTTP server for probes and Prometheus. */
export interface HttpServer {
  /** As bound, with the actual port. */
  readonly address: string;
  close(): void;
}

/** What the HTTP server depends on. */
export interface HttpParts {
  /** Throws a CallError, saying why, while nothing is served and a restart may help. */
  health(): void;
  readonly readiness: Readiness;
  readonly metrics: MetricsPage;
  /** Updates gauges before they are read. Never throws; not called while it still runs. */
  observe(): Promise<void>;
}

/** Any pod can reach the port. Further connections are closed at once, and connections without a request after ASK_WITHIN_MS. */
const MAX_CONNECTIONS = 256;
const ASK_WITHIN_MS = 5000;

/**
 * GET /healthz: 200 while the process serves, else 503 and the reason. GET /readyz: 200 while it can do its work, else 503 and the reason.
 * GET /metrics: for Prometheus; gauges that are not updated within PROBE_TIMEOUT_MS keep their former values.
 */
export async function serveHttp(
  { host, port }: HttpAddress,
  { health, readiness, metrics, observe }: HttpParts,
): Promise<HttpServer> {
  let observing: Promise<void> | undefined;
  const observed = () => {
    observing ??= observe().finally(() => {
      observing = undefined;
    });
    return Promise.race([observing, sleep(PROBE_TIMEOUT_MS, undefined, { ref: false })]);
  };
  const routes: Readonly<Record<string, (response: ServerResponse) => Promise<void> | void>> = {
    '/healthz': (response) => probe(response, async () => health()),
    '/readyz': (response) =>
      probe(response, async () => {
        health();
        await readiness({ deadline: Date.now() + PROBE_TIMEOUT_MS });
      }),
    async '/metrics'(response) {
      await observed();
      answer(response, 200, await metrics.render(), metrics.contentType);
    },
  };
  const limits = {
    headersTimeout: ASK_WITHIN_MS,
    requestTimeout: ASK_WITHIN_MS,
    connectionsCheckingInterval: ASK_WITHIN_MS,
  };
  const server = createServer(limits, (request, response) => {
    const [path = ''] = (request.url ?? '').split('?', 1);
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(response, 405, 'only GET\n');
    const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
    if (route === undefined) return answer(response, 404, `only ${Object.keys(routes).join(', ')}\n`);
    void route(response);
  });
  server.maxConnections = MAX_CONNECTIONS;
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

/** 200, or 503 and the error of `check`. */
async function probe(response: ServerResponse, check: () => Promise<unknown>): Promise<void> {
  try {
    await check();
    answer(response, 200, 'ok\n');
  } catch (error) {
    answer(response, 503, `${CallError.from(error).message}\n`);
  }
}

function answer(response: ServerResponse, status: number, body: string, type = 'text/plain; charset=utf-8'): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) }).end(body);
}
