import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { BadConfiguration, CallError } from '../errors.ts';
import type { MetricsPage } from './metrics.ts';
import { PROBE_TIMEOUT_MS, type Readiness } from './readiness.ts';

/** Where an HTTP server listens. Port 0 takes any free port. */
export interface HttpAddress {
  readonly host: string;
  readonly port: number;
}

/** The HTTP server for probes and Prometheus. */
export interface HttpServer {
  /** As bound: the port is the real one. */
  readonly address: string;
  close(): void;
}

/** What HTTP shows. */
export interface HttpParts {
  /** Throws a CallError saying why nobody is served, and a restart may mend it. */
  health(): void;
  readonly readiness: Readiness;
  readonly metrics: MetricsPage;
  /** Brings gauges up to date before they are read. Never throws. Not called again before it has ended. */
  observe(): Promise<void>;
}

/** Any pod may reach the port: more connections than this are closed at once, and one that asks nothing after this time. */
const MAX_CONNECTIONS = 256;
const ASK_WITHIN_MS = 5000;

/**
 * GET /healthz: 200 while the process serves, else 503 and why. GET /readyz: 200 while it can do its work, else 503 and why. GET /metrics: for
 * Prometheus; gauges that take longer than a probe may are those of the time before.
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

/** 200, or 503 and what `check` throws. */
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
