import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import { WebSocketServer } from 'ws';
import type { DenialsReport, NodeReport, VolumesReport } from '../../src/inspection/reports.ts';
import type { ApiServer } from '../apiserver/api-server.ts';
import { NAMESPACE } from '../deploy/helm.ts';

/** What a node answers. */
export interface SimulatedReports {
  readonly volumes: VolumesReport;
  readonly denials: DenialsReport;
  readonly node: NodeReport;
}

/** `silent`: port-forward works, and no answer comes. `closed`: nothing listens on the port. */
export type Answer = SimulatedReports | 'silent' | 'closed' | { readonly body: string; readonly status?: number };

/** The kubelets of nodes that are only objects in an API server. Everything up to the kubelet's port is real. */
export interface SimulatedNodes {
  /** Adds a node with a pod of the driver. */
  add(node: string, answer: Answer): Promise<void>;
  /** How many connections were forwarded. */
  forwarded(): number;
  close(): void;
}

const PROTOCOL = 'v4.channel.k8s.io';

/**
 * Serves what a kubelet does of port-forward: a WebSocket with a data channel (0) and an error channel (1), each of which begins with the
 * port. The node plugin's part is an HTTP server with the reports.
 */
export async function simulateNodes(api: ApiServer): Promise<SimulatedNodes> {
  const answers = new Map<string, Answer>();
  let forwarded = 0;
  const [key, cert] = await Promise.all(
    ['kubelet-server.key', 'kubelet-server.crt'].map((file) => readFile(join(api.directory, 'pki', file))),
  );
  const plugins = createHttpServer((request, response) => {
    const node = answers.get(`${request.headers['x-node']}`);
    if (node !== undefined && node !== 'closed') respond(node, request, response);
  });
  const kubelet = createHttpsServer({ key, cert });
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: () => PROTOCOL });
  kubelet.on('upgrade', (request, socket, head) => {
    const [, , pod = ''] = /^\/portForward\/([^/]+)\/([^/?]+)/.exec(request.url ?? '') ?? [];
    const port = Number(new URL(request.url ?? '', 'https://kubelet').searchParams.get('port') ?? 0);
    sockets.handleUpgrade(request, socket, head, (client) => {
      forwarded += 1;
      const header = Buffer.of(port & 255, port >> 8);
      const send = (channel: number, data: Buffer) => client.send(Buffer.concat([Buffer.of(channel), data]));
      send(0, header);
      send(1, header);
      const answer = answers.get(pod);
      if (answer === undefined || answer === 'closed') {
        send(1, Buffer.from(`failed to connect to localhost:${port}: connection refused`));
        return client.close();
      }
      // The node's name travels with each request, in place of an address for each.
      const plugin = connect((plugins.address() as AddressInfo).port, '127.0.0.1');
      client.on('message', (frame: Buffer) => {
        plugin.write(frame.subarray(1).toString('latin1').replace('\r\n', `\r\nx-node: ${pod}\r\n`), 'latin1');
      });
      plugin.on('data', (data: Buffer) => send(0, data));
      plugin.on('close', () => client.close());
      plugin.on('error', () => client.terminate());
      client.on('close', () => plugin.destroy());
    });
  });
  const listening = [plugins, kubelet].map(async (server) => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  await Promise.all(listening);
  const { port } = kubelet.address() as AddressInfo;
  await api.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } });
  return {
    async add(node, answer) {
      const pod = `csi-driver-bpffs-node-${node}`;
      answers.set(pod, answer);
      const status = {
        addresses: [{ type: 'InternalIP', address: '127.0.0.1' }],
        daemonEndpoints: { kubeletEndpoint: { Port: port } },
      };
      await api.admin.create(
        { group: '', version: 'v1', plural: 'nodes' },
        { kind: 'Node', metadata: { name: node }, status },
      );
      const labels = { 'app.kubernetes.io/name': 'csi-driver-bpffs', 'app.kubernetes.io/component': 'node' };
      await api.admin.create(
        { group: '', version: 'v1', plural: 'pods' },
        {
          kind: 'Pod',
          metadata: { namespace: NAMESPACE, name: pod, ...{ labels } },
          spec: { nodeName: node, containers: [{ name: 'plugin', image: 'none' }] },
        },
      );
    },
    forwarded: () => forwarded,
    close() {
      kubelet.closeAllConnections();
      kubelet.close();
      plugins.closeAllConnections();
      plugins.close();
      for (const client of sockets.clients) client.terminate();
    },
  };
}

function respond(answer: Exclude<Answer, 'closed'>, request: IncomingMessage, response: ServerResponse): void {
  if (answer === 'silent') return;
  if ('body' in answer) {
    response.writeHead(answer.status ?? 200).end(answer.body);
    return;
  }
  const report = answer[(request.url ?? '').slice(1) as keyof SimulatedReports];
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(report));
}
