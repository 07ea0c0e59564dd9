import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { credentials } from '@grpc/grpc-js';
import { CallError, unavailable } from '../../src/errors.ts';
import { createLogger } from '../../src/logger.ts';
import { createNodeMetrics } from '../../src/node/metrics.ts';
import { adapt, type Handlers } from '../../src/rpc/adapter.ts';
import { NodeClient } from '../../src/rpc/client.ts';
import { type NodeDefinition, NodeService } from '../../src/rpc/csi.ts';
import { listen } from '../../src/rpc/server.ts';
import { call, type LogLine, publishRequest } from './harness.ts';

/** A node service with these handlers, its client and its log. */
async function serve(t: TestContext, handlers: Partial<Handlers<NodeDefinition>>) {
  const directory = mkdtempSync(join(tmpdir(), 'bpffs-'));
  const log: LogLine[] = [];
  const metrics = createNodeMetrics();
  const socket = join(directory, 'csi.sock');
  const logger = createLogger('info', { write: (line) => void log.push(JSON.parse(line)) });
  const services = [adapt(NodeService, handlers as Handlers<NodeDefinition>, logger, metrics)];
  const server = await listen(socket, services, { log: logger });
  const node = new NodeClient(`unix://${socket}`, credentials.createInsecure());
  t.after(async () => {
    node.close();
    await server.stop(1000);
    rmSync(directory, { recursive: true });
  });
  return { node, log, metrics };
}

const stats = { volumeId: 'a', volumePath: '/a', stagingTargetPath: '' };

test('a fault of the driver is logged as an error with its stack, and counted, also where the kubelet hears UNAVAILABLE', async (t) => {
  const { node, log, metrics } = await serve(t, {
    nodePublishVolume() {
      throw new TypeError('undefined is not a function');
    },
    nodeUnpublishVolume() {
      throw unavailable('the pinner is away', new Error('ECONNREFUSED'));
    },
    nodeGetVolumeStats() {
      throw unavailable('try again', CallError.from(new TypeError('x is null')));
    },
  });
  const { code, message } = await call(node, node.nodePublishVolume, publishRequest());
  assert.deepEqual([code, message], ['INTERNAL', 'unexpected: undefined is not a function']);
  assert.equal((await call(node, node.nodeUnpublishVolume, { volumeId: 'a', targetPath: '/a' })).code, 'UNAVAILABLE');
  assert.equal((await call(node, node.nodeGetVolumeStats, stats)).code, 'UNAVAILABLE');
  assert.deepEqual(
    log.map(({ level, stack }) => [level, String([stack].flat()[0])]),
    [
      ['ERROR', 'TypeError: undefined is not a function'],
      ['WARN', 'undefined'],
      ['ERROR', 'TypeError: x is null'],
    ],
  );
  assert.match(String(log[0]?.stack), /fault\.test\.ts/);
  const text = await metrics.render();
  assert.match(text, /^bpffs_faults_total\{method="NodePublishVolume"\} 1$/m);
  assert.match(text, /^bpffs_faults_total\{method="NodeGetVolumeStats"\} 1$/m);
  assert.match(text, /^bpffs_faults_total\{method="NodeUnpublishVolume"\} 0$/m);
});

test('an answer that cannot be sent is an error, in the log as for the caller', async (t) => {
  const { node, log } = await serve(t, {
    nodeGetInfo: () => ({ nodeId: 'x'.repeat(5 << 20), maxVolumesPerNode: 0, accessibleTopology: null }),
    nodeGetVolumeStats: () => ({ usage: [null as never] }),
  });
  assert.equal((await call(node, node.nodeGetVolumeStats, stats)).code, 'INTERNAL');
  const { code, message } = await call(node, node.nodeGetInfo, {});
  assert.equal(code, 'RESOURCE_EXHAUSTED');
  assert.match(message, /^the answer has 5242\d{3} bytes, and at most 4194304 can be sent$/);
  assert.deepEqual(
    log.map((line) => [line.method, line.code]),
    [
      ['NodeGetVolumeStats', 'INTERNAL'],
      ['NodeGetInfo', 'RESOURCE_EXHAUSTED'],
    ],
  );
});
