import { Agent, type IncomingMessage, request } from 'node:http';
import type { Duplex } from 'node:stream';
import type * as z from 'zod/mini';
import { CallError, unavailable } from '../errors.ts';
import { denialsReportSchema, nodeReportSchema, volumesReportSchema } from '../inspection/reports.ts';
import { quote } from '../text.ts';
import type { NodePod } from './node-pods.ts';
import type { PortForwarder } from './port-forward.ts';

const SCHEMAS = { volumes: volumesReportSchema, denials: denialsReportSchema, node: nodeReportSchema };

/** The reports of a node, by their paths. */
export type Reports = { readonly [K in keyof typeof SCHEMAS]: z.infer<(typeof SCHEMAS)[K]> };

/** Where node plugins serve their reports: `--inspection-address`. */
export const INSPECTION_PORT = 9807;

/** 5,000 files of a report have about 2 MB. */
const MAX_REPORT_BYTES = 64 << 20;

/** Asks the node plugin in `pod` for reports, over one connection. Throws an ApiError, or UNAVAILABLE. */
export async function askNode<K extends keyof Reports>(
  forwarder: PortForwarder,
  pod: NodePod,
  kinds: readonly K[],
  signal: AbortSignal,
): Promise<Pick<Reports, K>> {
  const to = { namespace: pod.namespace, pod: pod.name, port: INSPECTION_PORT };
  const connection = await forwarder.connect(to, signal);
  // An error between two requests.
  let failure: Error | undefined;
  connection.on('error', (error) => {
    failure = error;
  });
  // The connection is no socket, which an agent by itself expects when it uses one again.
  const agent = Object.assign(new Agent({ keepAlive: true, maxSockets: 1 }), {
    createConnection: () => connection,
    keepSocketAlive: () => true,
    reuseSocket() {},
  });
  try {
    const reports: Partial<Reports> = {};
    for (const kind of kinds) reports[kind] = (await get(agent, kind)) as Reports[K];
    return reports as Pick<Reports, K>;
  } catch (error) {
    signal.throwIfAborted();
    if (failure !== undefined) throw CallError.from(failure);
    throw error instanceof CallError
      ? error
      : unavailable(`its node plugin does not answer: ${(error as Error).message}`);
  } finally {
    agent.destroy();
    connection.destroy();
  }
}

async function get(agent: Agent & { createConnection: () => Duplex }, kind: keyof Reports): Promise<unknown> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const sent = request({ agent, path: `/${kind}`, headers: { host: 'localhost' } }, resolve);
    sent.once('error', reject);
    sent.end();
  });
  const body = await read(response);
  if (response.statusCode === 404) throw unavailable('its node plugin is too old to be asked');
  if (response.statusCode !== 200) throw unavailable(body.trim());
  const report = SCHEMAS[kind].safeParse(JSON.parse(body));
  if (report.success) return report.data;
  const [issue] = report.error.issues;
  const where = quote(issue?.path.join('.') ?? '');
  throw unavailable(`its report has an unknown form at ${where}; use the kubectl-bpffs of its version`);
}

async function read(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response) {
    length += chunk.length;
    if (length > MAX_REPORT_BYTES) throw unavailable(`its report has more than ${MAX_REPORT_BYTES >> 20} MiB`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
