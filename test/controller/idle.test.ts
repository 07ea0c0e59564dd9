import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { mock, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { startController } from '../../src/controller/controller.ts';
import { createLogger } from '../../src/logger.ts';
import { IdentityService } from '../../src/rpc/csi.ts';

const DAY_MS = 24 * 3600_000;

test('a connection that is idle for a day is the same afterwards', async () => {
  const { GetPluginInfo } = await IdentityService.definition();
  await using stack = new AsyncDisposableStack();
  const directory = mkdtempSync(join(tmpdir(), 'bpffs-controller-'));
  stack.defer(() => rmSync(directory, { recursive: true }));
  const socket = join(directory, 'csi.sock');
  // Before grpc-js starts any timer: the test moves the clock.
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: Date.now() });
  stack.defer(() => mock.timers.reset());
  const controller = await startController(
    {
      driverName: 'csi.bpffs.dev',
      endpoint: socket,
      store: { kind: 'directory', directory },
      defaultNode: undefined,
      http: undefined,
      logLevel: 'error',
      drainTimeoutMs: 0,
    },
    createLogger('error'),
  );
  stack.defer(() => controller.stop());

  // Bare HTTP/2: a grpc-js client would silently reconnect.
  const session = connectHttp2('http://localhost', { createConnection: () => connect(socket) });
  stack.defer(async () => {
    session.close();
    await once(session, 'close');
  });
  await once(session, 'connect');
  let lost: string | undefined;
  for (const event of ['goaway', 'close', 'error']) session.on(event, () => (lost ??= event));
  await ask();
  for (let hour = 0; hour < 24; hour++) {
    mock.timers.tick(DAY_MS / 24);
    await turn();
  }
  await ask();
  assert.equal(lost, undefined);

  async function ask() {
    assert.equal(lost, undefined);
    const stream = session.request({
      ':method': 'POST',
      ':path': GetPluginInfo.path,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    // An empty message in gRPC's frame: not compressed, length 0.
    stream.end(Buffer.alloc(5));
    const answer = await buffer(stream);
    assert.equal(GetPluginInfo.responseDeserialize(answer.subarray(5)).name, 'csi.bpffs.dev');
  }
});
