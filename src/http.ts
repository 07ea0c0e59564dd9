import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { BadConfiguration, CallError } from './errors.ts';
import type { Metrics } from './metrics.ts';
import type { Pinner } from './pinner/pinner.ts';

/** What HTTP asks of the pinner may take this long. */
const PINNER_TIMEOUT_MS = 1000;

/** The HTTP server for probes and Prometheus. */
export interface HttpServer {
  /** As bound: the port is the real one. */
  readonly address: string;
  close(): void;
}

/**
 * GET /healthz: 200 while the process serves. GET /readyz: 200 while the pinner answers, else 503 and why. GET /metrics: for
 * Prometheus; the pinner is asked for the number of volumes then.
 */
export async function serveHttp(
  { host, port }: { readonly host: string; readonly port: number },
  pinner: Pinner,
  metrics: Metrics,
): Promise<HttpServer> {
  const routes: Readonly<Record<string, (response: ServerResponse) => Promise<void> | void>> = {
    '/healthz': (response) => answer(response, 200, 'ok\n'),
    async '/readyz'(response) {
      try {
        await pinner.getNode({ deadline: Date.now() + PINNER_TIMEOUT_MS });
        answer(response, 200, 'ok\n');
      } catch (error) {
        answer(response, 503, `${CallError.from(error).message}\n`);
      }
    },
    async '/metrics'(response) {
      try {
        const { volumes } = await pinner.listVolumes({ deadline: Date.now() + PINNER_TIMEOUT_MS });
        metrics.pinnerSeen(volumes.length);
      } catch {
        metrics.pinnerSeen(undefined);
      }
      answer(response, 200, await metrics.render(), metrics.contentType);
    },
  };
  const server = createServer((request, response) => {
    const [path = ''] = (request.url ?? '').split('?', 1);
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(response, 405, 'only GET\n');
    const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
    if (route === undefined) return answer(response, 404, `only ${Object.keys(routes).join(', ')}\n`);
    void route(response);
  });
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

function answer(response: ServerResponse, status: number, body: string, type = 'text/plain; charset=utf-8'): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) }).end(body);
}
