import { setTimeout as sleep } from 'node:timers/promises';
import { CallError, unavailable } from '../errors.ts';
import { type HttpAddress, type HttpAnswer, type HttpServer, listenHttp } from '../process/http-server.ts';
import type { DenialsReport, NodeReport, VolumesReport } from './reports.ts';

/** When a report is no longer awaited: milliseconds since the epoch, and what is aborted then. */
export interface ReportLimits {
  readonly deadline: number;
  readonly signal: AbortSignal;
}

/** How each report is made. What they throw becomes the text of a 503. */
export interface Inspection {
  volumes(limits: ReportLimits): Promise<VolumesReport>;
  denials(limits: ReportLimits): Promise<DenialsReport>;
  node(limits: ReportLimits): Promise<NodeReport>;
}

/** A few people at a time, each asking for three reports. */
const MAX_CONNECTIONS = 16;
const REPORT_TIMEOUT_MS = 10_000;

/**
 * GET /volumes, /denials, /node: reports as JSON (see reports.ts), or 503 and the reason. Of each kind one report is made at a time, which
 * all who ask meanwhile get.
 *
 * `address` must be a loopback address: the reports say which pods use which maps, and the server cannot tell who asks. Who may reach it is
 * decided by the API server, which forwards connections to a pod's loopback for those who may create `pods/portforward`. `pods/proxy` would
 * not do: it leads to the pod's address, which every pod can reach, and the API server removes the Authorization header of what it passes
 * on, so nobody could be told from anybody else.
 */
export function serveInspection(
  address: HttpAddress,
  inspection: Inspection,
  timeoutMs = REPORT_TIMEOUT_MS,
): Promise<HttpServer> {
  const { volumes, denials, node } = inspection;
  const routes = {
    '/volumes': answering('volumes', volumes, timeoutMs),
    '/denials': answering('denials', denials, timeoutMs),
    '/node': answering('node', node, timeoutMs),
  };
  return listenHttp(address, { routes, methods: ['GET'], maxConnections: MAX_CONNECTIONS });
}

function answering(
  name: string,
  report: (limits: ReportLimits) => Promise<object>,
  timeoutMs: number,
): () => Promise<HttpAnswer> {
  const late = unavailable(`the report of ${name} takes more than ${timeoutMs / 1000} s: the node is busy; try again`);
  let making: Promise<HttpAnswer> | undefined;

  async function make(): Promise<HttpAnswer> {
    const giveUp = new AbortController();
    const timer = setTimeout(() => giveUp.abort(late), timeoutMs).unref();
    try {
      const body = JSON.stringify(await report({ deadline: Date.now() + timeoutMs, signal: giveUp.signal }));
      return { status: 200, body: `${body}\n`, type: 'application/json' };
    } catch (error) {
      return failed(giveUp.signal.aborted ? late : error);
    } finally {
      clearTimeout(timer);
    }
  }

  return () => {
    making ??= make().finally(() => {
      making = undefined;
    });
    // If the report ignores its limits, the caller still gets an answer in time. No second one starts while it runs.
    return Promise.race([making, sleep(timeoutMs, failed(late), { ref: false })]);
  };
}

function failed(error: unknown): HttpAnswer {
  return { status: 503, body: `${CallError.from(error).message}\n` };
}
