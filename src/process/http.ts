import { setTimeout as sleep } from 'node:timers/promises';
import { CallError } from '../errors.ts';
import { type HttpAddress, type HttpAnswer, type HttpServer, listenHttp } from './http-server.ts';
import type { MetricsPage } from './metrics.ts';
import { PROBE_TIMEOUT_MS, type Readiness } from './readiness.ts';

/** What the HTTP server for probes and Prometheus depends on. */
export interface HttpParts {
  /** Throws a CallError, saying why, while nothing is served and a restart may help. */
  health(): void;
  readonly readiness: Readiness;
  readonly metrics: MetricsPage;
  /** Updates gauges before they are read. Never throws; not called while it still runs. */
  observe(): Promise<void>;
}

/** Any pod can reach the port. */
const MAX_CONNECTIONS = 256;

/**
 * GET /healthz: 200 while the process serves, else 503 and the reason. GET /readyz: 200 while it can do its work, else 503 and the reason.
 * GET /metrics: for Prometheus; gauges that are not updated within PROBE_TIMEOUT_MS keep their former values.
 */
export async function serveHttp(
  address: HttpAddress,
  { health, readiness, metrics, observe }: HttpParts,
): Promise<HttpServer> {
  let observing: Promise<void> | undefined;
  const observed = () => {
    observing ??= observe().finally(() => {
      observing = undefined;
    });
    return Promise.race([observing, sleep(PROBE_TIMEOUT_MS, undefined, { ref: false })]);
  };
  const routes = {
    '/healthz': () => probe(async () => health()),
    '/readyz': () =>
      probe(async () => {
        health();
        await readiness({ deadline: Date.now() + PROBE_TIMEOUT_MS });
      }),
    async '/metrics'() {
      await observed();
      return { status: 200, body: await metrics.render(), type: metrics.contentType };
    },
  };
  return await listenHttp(address, { routes, methods: ['GET', 'HEAD'], maxConnections: MAX_CONNECTIONS });
}

/** 200, or 503 and the error of `check`. */
async function probe(check: () => Promise<unknown>): Promise<HttpAnswer> {
  try {
    await check();
    return { status: 200, body: 'ok\n' };
  } catch (error) {
    return { status: 503, body: `${CallError.from(error).message}\n` };
  }
}
