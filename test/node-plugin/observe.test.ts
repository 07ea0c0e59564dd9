import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, credentials } from '@grpc/grpc-js';
import { version } from '../../src/version.ts';
import { call, publishRequest, startHarness } from './harness.ts';

const TOKEN = 'eyJhbGciOiJSUzI1NiJ9.very-secret';

test('one line per call, with method, code, duration, volume, target and pod', async () => {
  await using harness = await startHarness({ logLevel: 'debug' });
  const { node, identity, log } = harness;
  const before = log.length;
  const request = publishRequest();
  const { targetPath } = request;
  await call(node, node.nodePublishVolume, request);
  await call(node, node.nodePublishVolume, request);
  await call(identity, identity.getPluginInfo, {});
  await call(node, node.nodeGetVolumeStats, { volumeId: 'csi-1', volumePath: targetPath, stagingTargetPath: '' });
  await call(node, node.nodeUnpublishVolume, { volumeId: 'csi-1', targetPath: '' });
  const lines = log.slice(before).filter(({ message }) => message === 'call');
  const pod = 'prod/collector-0';
  const publish = { method: 'NodePublishVolume', code: 'OK', volumeId: 'csi-1', targetPath, pod, message: 'call' };
  assert.deepEqual(
    lines.map(({ timestamp, durationMs, ...rest }) => {
      assert.match(String(timestamp), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      assert(Number(durationMs) > 0);
      return rest;
    }),
    [
      { level: 'INFO', ...publish },
      // What changes nothing comes again and again.
      { level: 'DEBUG', ...publish },
      { level: 'DEBUG', method: 'GetPluginInfo', code: 'OK', message: 'call' },
      { level: 'DEBUG', method: 'NodeGetVolumeStats', code: 'OK', volumeId: 'csi-1', targetPath, message: 'call' },
      {
        level: 'WARN',
        method: 'NodeUnpublishVolume',
        code: 'INVALID_ARGUMENT',
        volumeId: 'csi-1',
        targetPath: '',
        error: 'target_path: required',
        message: 'call',
      },
    ],
  );
});

test('however long a request is, its answer and its line in the log are not', async () => {
  await using harness = await startHarness();
  const { node, log } = harness;
  const before = log.length;
  const long = 'ü\u202e'.repeat(50_000);
  const request = publishRequest((r) => {
    r.volumeId = long;
    r.targetPath = `/${long}`;
    r.volumeContext['csi.storage.k8s.io/pod.name'] = long;
  });
  const { code, message } = await call(node, node.nodePublishVolume, request);
  assert.equal(code, 'INVALID_ARGUMENT');
  assert(encodeURI(message).length <= 2048);
  const [line] = log.slice(before);
  assert(JSON.stringify(line).length < 16_384, `${JSON.stringify(line).length}`);
  for (const field of ['volumeId', 'targetPath', 'pod']) {
    const text = String(line?.[field]);
    assert.match(text, /… and \d+ more characters$/);
    assert(!text.includes('\u202e'));
  }
});

test('no secret, token or attribute gets into the log or an error, whatever is wrong with the call', async () => {
  await using harness = await startHarness({ logLevel: 'debug' });
  const { node, log, pinner } = harness;
  const secretive = (maps: string) =>
    publishRequest((r) => {
      r.secrets = { 'csi.storage.k8s.io/serviceAccount.tokens': TOKEN };
      r.publishContext = { token: TOKEN };
      r.volumeContext['csi.storage.k8s.io/serviceAccount.tokens'] = JSON.stringify({
        'csi.bpffs.dev': { token: TOKEN },
      });
      r.volumeContext.maps = maps;
      r.targetPath = `/var/lib/kubelet/${maps}`;
    });
  const codes: string[] = [];
  for (const maps of ['flows', 'Flows', 'nothing', 'keys:rw']) {
    const { code, message } = await call(node, node.nodePublishVolume, secretive(maps));
    codes.push(code);
    assert(!message.includes('secret'));
  }
  const unknown = secretive('unknown');
  unknown.volumeContext.password = TOKEN;
  codes.push((await call(node, node.nodePublishVolume, unknown)).code);
  await pinner.stop();
  codes.push((await call(node, node.nodePublishVolume, secretive('flows'))).code);
  assert.deepEqual(codes, [
    'OK',
    'INVALID_ARGUMENT',
    'NOT_FOUND',
    'PERMISSION_DENIED',
    'INVALID_ARGUMENT',
    'UNAVAILABLE',
  ]);
  assert.equal(log.filter(({ method }) => method === 'NodePublishVolume').length, codes.length);
  assert(!JSON.stringify(log).includes('secret'));
});

test('bytes that are no request are INVALID_ARGUMENT, and logged; the service goes on', async () => {
  await using harness = await startHarness();
  const { node, log, config } = harness;
  const raw = new Client(`unix://${config.endpoint}`, credentials.createInsecure());
  const send = (bytes: Buffer) =>
    new Promise<string>((resolve) => {
      raw.makeUnaryRequest(
        '/csi.v1.Node/NodePublishVolume',
        (b: Buffer) => b,
        (b) => b,
        bytes,
        (error) => resolve(error?.message ?? 'OK'),
      );
    });
  assert.equal(
    await send(Buffer.from([0x0a, 0xff])),
    '3 INVALID_ARGUMENT: not a csi.v1.Node/NodePublishVolume request',
  );
  assert.match(await send(Buffer.alloc(5 << 20)), /^8 RESOURCE_EXHAUSTED/);
  raw.close();
  assert.equal(log.at(-1)?.code, 'INVALID_ARGUMENT');
  assert.equal((await call(node, node.nodePublishVolume, publishRequest())).code, 'OK');
});

test('metrics', async () => {
  await using harness = await startHarness();
  const { node, pinner, http } = harness;
  const publish = (maps: string) =>
    call(
      node,
      node.nodePublishVolume,
      publishRequest((r) => {
        r.volumeContext.maps = maps;
        r.targetPath = `/var/lib/kubelet/${maps}`;
      }),
    );
  for (const maps of ['flows', 'flows', 'flows:rw', 'keys:rw']) await publish(maps);
  const response = await fetch(`${http}/metrics`);
  assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
  const text = await response.text();
  for (const line of [
    'bpffs_csi_call_duration_seconds_count{method="NodePublishVolume",code="OK"} 2',
    'bpffs_csi_call_duration_seconds_count{method="NodePublishVolume",code="PERMISSION_DENIED"} 2',
    'bpffs_csi_calls_in_flight 0',
    'bpffs_volumes 1',
    'bpffs_pinner_up 1',
    'bpffs_pinner_log_lines_dropped 3',
    'bpffs_created_maps 1',
    'bpffs_created_maps_limit 1024',
    'bpffs_created_memory_bytes 4096',
    'bpffs_created_memory_limit_bytes 1073741824',
    'bpffs_workspaces 0',
    'bpffs_workspaces_limit 256',
    'bpffs_denials_total{verb="write",reason="maxAccess"} 1',
    'bpffs_denials_total{verb="write",reason="grant"} 1',
    // Counters are there before the first count, or it would be no increase.
    'bpffs_denials_total{verb="read",reason="grant"} 0',
    'bpffs_map_refusals_total{reason="fault",pod="running"} 0',
    'bpffs_volume_changes_total{reason="MapReplaced"} 0',
    'bpffs_faults_total{method="NodePublishVolume"} 0',
    'bpffs_publish_duration_seconds_count{outcome="created"} 1',
    'bpffs_publish_duration_seconds_count{outcome="unchanged"} 1',
    'bpffs_pinner_info{version="0.1.0",kernel="6.12.0"} 1',
    `bpffs_build_info{version="${version}",nodejs="${process.version}"} 1`,
    'bpffs_file_reload_success{file="catalog"} 1',
    'bpffs_file_reload_success{file="grants"} 1',
  ]) {
    assert(text.split('\n').includes(line), `${line} is not in\n${text}`);
  }
  await pinner.stop();
  const without = await (await fetch(`${http}/metrics`)).text();
  assert.match(without, /^bpffs_pinner_up 0$/m);
  assert.doesNotMatch(without, /^bpffs_(volumes|created|workspaces|pinner_log|pinner_info)/m);
  assert.equal((await fetch(`${http}/other`)).status, 404);
  assert.equal((await fetch(`${http}/metrics`, { method: 'POST' })).status, 405);
});
