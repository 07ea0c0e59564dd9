import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { credentials } from '@grpc/grpc-js';
import { NodeClient } from '../../src/rpc/client.ts';
import { type FakePinner, startFakePinner } from './fake-pinner.ts';
import { CATALOG, call, GRANTS, publishRequest, until } from './harness.ts';

const main = join(import.meta.dirname, '../../src/main.ts');

let directory: string;
let socket: string;
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'bpffs-process-'));
  socket = join(directory, 'csi.sock');
  writeFileSync(join(directory, 'catalog.yaml'), CATALOG);
  writeFileSync(join(directory, 'grants.yaml'), GRANTS);
});
after(() => rmSync(directory, { recursive: true }));

const children = new Set<ChildProcess>();
const pinners = new Set<FakePinner>();
// What a test that failed has left would keep this process, and be in the way of the next test.
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  await Promise.all([...pinners].map((pinner) => pinner.stop()));
  children.clear();
  pinners.clear();
});

async function startPinner(): Promise<FakePinner> {
  const pinner = await startFakePinner(join(directory, 'pinner.sock'));
  pinners.add(pinner);
  return pinner;
}

interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<{ code: number | null; stdout: string; stderr: string }>;
}

/** Starts the command with valid settings in its environment, overridden by `env` and by the arguments. */
function start(args: readonly string[] = [], env: Record<string, string> = {}): Running {
  const child = spawn(process.execPath, [main, 'node', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      BPFFS_NODE_ID: 'node-1',
      BPFFS_CATALOG: join(directory, 'catalog.yaml'),
      BPFFS_GRANTS: join(directory, 'grants.yaml'),
      BPFFS_ENDPOINT: `unix://${socket}`,
      BPFFS_PINNER_ENDPOINT: `unix://${join(directory, 'pinner.sock')}`,
      BPFFS_HTTP_ADDRESS: 'off',
      BPFFS_INSPECTION_ADDRESS: 'off',
      ...env,
    },
  });
  children.add(child);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  return { child, ended: once(child, 'close').then(([code]) => ({ code, stdout, stderr })) };
}

const accepts = () =>
  new Promise<boolean>((resolve) => {
    const probe = connect(socket, () => {
      probe.destroy();
      resolve(true);
    }).on('error', () => resolve(false));
  });

describe('bad configuration ends with 64 and one line', () => {
  const cases: readonly (readonly [
    what: string,
    args: readonly string[],
    env: Record<string, string>,
    line: RegExp,
  ])[] = [
    ['an unknown flag', ['--bogus'], {}, /^csi-driver-bpffs: unknown option '--bogus'$/],
    ['a stray argument', ['stray'], {}, /^csi-driver-bpffs: too many arguments/],
    ['an empty node id', [], { BPFFS_NODE_ID: '' }, /'--node-id <name>' value '' from env 'BPFFS_NODE_ID' is invalid/],
    ['a long node id', ['--node-id', 'n'.repeat(257)], {}, /It must have 1 to 256 bytes\.$/],
    ['a TCP endpoint', ['--endpoint', 'tcp://0.0.0.0:1'], {}, /It must be a unix socket/],
    ['a long socket path', ['--endpoint', `/${'s'.repeat(107)}`], {}, /at most 107 bytes\.$/],
    ['a port too high', ['--http-address', ':65536'], {}, /It must be host:port, or off\.$/],
    [
      'an inspection that others reach',
      ['--inspection-address', '0.0.0.0:9807'],
      {},
      /It must be a loopback address, of 127\.0\.0\.0\/8 or \[::1\], or off: whoever reaches it sees which pods use which maps\.$/,
    ],
    ['an inspection of all addresses', ['--inspection-address', ':9807'], {}, /It must be a loopback address/],
    ['an inspection by a name', [], { BPFFS_INSPECTION_ADDRESS: 'localhost:9807' }, /It must be a loopback address/],
    ['an inspection of all IPv6', ['--inspection-address', '[::]:9807'], {}, /It must be a loopback address/],
    ['no calls at all', ['--max-calls', '0'], {}, /It must be a whole number from 1 to 40\.$/],
    ['more calls than the pinner takes', ['--max-calls', '41'], {}, /It must be a whole number from 1 to 40\.$/],
    ['half a call', [], { BPFFS_MAX_CALLS: '1.5' }, /It must be a whole number from 1 to 40\.$/],
    ['a driver name', ['--driver-name', 'No Name'], {}, /It must be a domain name of at most 63 characters\.$/],
    ['a log level', ['--log-level', 'loud'], {}, /Allowed choices are debug, info, warn, error\.$/],
    ['a relative catalog', ['--catalog', 'c.yaml'], {}, /It must be an absolute path\.$/],
    ['no catalog', ['--catalog', '/not/there'], {}, /^csi-driver-bpffs: cannot read \/not\/there: ENOENT/],
  ];
  for (const [what, args, env, line] of cases) {
    test(what, async () => {
      const { code, stdout, stderr } = await start(args, env).ended;
      assert.equal(code, 64);
      assert.equal(stdout, '');
      assert.match(stderr, /^[^\n]*\n$/);
      assert.match(stderr.trimEnd(), line);
      assert.equal(existsSync(socket), false);
    });
  }

  test('every problem of a bad file has its line', async () => {
    const bad = join(directory, 'bad.yaml');
    writeFileSync(
      bad,
      CATALOG.replace('path: /sys/fs/bpf/keys', 'path: sys/fs/bpf').replace('kind: BpfMap', 'kind: Bpfmap'),
    );
    const { code, stderr } = await start(['--catalog', bad]).ended;
    assert.equal(code, 64);
    assert.deepEqual(stderr.trimEnd().split('\n'), [
      `csi-driver-bpffs: ${bad}:3:1: kind: must be BpfMap or BpfDelegation`,
      `csi-driver-bpffs: ${bad}:20:29: spec.source.pinned.path: must be an absolute path without "." or ".." or empty elements`,
    ]);
  });
});

describe('the socket', () => {
  test('has mode 0600, and a live one is not stolen', async () => {
    const first = start();
    await until('it serves', accepts);
    assert.equal(statSync(socket).mode & 0o7777, 0o600);
    const second = await start().ended;
    assert.deepEqual([second.code, second.stderr], [64, `csi-driver-bpffs: another process serves ${socket}\n`]);
    assert(await accepts());
    first.child.kill('SIGTERM');
    assert.equal((await first.ended).code, 0);
    assert.equal(existsSync(socket), false);
  });

  test('is replaced when nobody serves it', async () => {
    const killed = start();
    await until('it serves', accepts);
    killed.child.kill('SIGKILL');
    await killed.ended;
    assert.equal(existsSync(socket), true);
    const next = start();
    await until('it serves', accepts);
    next.child.kill('SIGINT');
    assert.equal((await next.ended).code, 0);
  });

  test('is left alone when it is something else', async () => {
    writeFileSync(socket, 'precious');
    const { code, stderr } = await start().ended;
    assert.deepEqual([code, stderr], [64, `csi-driver-bpffs: ${socket} exists and is not a socket\n`]);
    rmSync(socket);
  });

  test('is taken away again when the HTTP port is in use', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as { port: number };
    const { code, stderr } = await start(['--http-address', `127.0.0.1:${port}`]).ended;
    taken.close();
    assert.equal(code, 64);
    assert.match(stderr, /^csi-driver-bpffs: cannot listen on 127\.0\.0\.1:\d+: [^\n]*EADDRINUSE[^\n]*\n$/);
    assert.equal(existsSync(socket), false);
  });
});

describe('SIGTERM', () => {
  /** Starts a node plugin whose pinner publishes nothing before `release`. */
  async function startHeld(args: readonly string[] = []) {
    const pinner = await startPinner();
    const { promise, resolve: release } = Promise.withResolvers<void>();
    pinner.hold = promise;
    const running = start(args);
    await until('it serves', accepts);
    return { pinner, running, release };
  }

  /** Has the node plugin publish a volume, and waits until the pinner has the call. */
  async function startPublish(pinner: FakePinner) {
    const node = new NodeClient(`unix://${socket}`, credentials.createInsecure());
    const publish = call(node, node.nodePublishVolume, publishRequest()).finally(() => node.close());
    await until('the pinner has the call', () => !Number.isNaN(pinner.lastDeadline));
    return { publish };
  }

  async function stopServing({ child }: Running): Promise<void> {
    child.kill('SIGTERM');
    await until('the socket is closed', async () => !(await accepts()));
  }

  test('lets a call in work finish, takes no new one, and loses no line of the log', async () => {
    const { pinner, running, release } = await startHeld();
    const { publish } = await startPublish(pinner);
    await stopServing(running);
    release();
    const { code: published, message } = await publish;
    assert.equal(published, 'OK', message);
    const { code, stdout } = await running.ended;
    assert.equal(code, 0);
    const lines = stdout.trimEnd().split('\n');
    assert.deepEqual(
      lines.map((line) => (JSON.parse(line) as { message: string }).message),
      ['serving', 'stopping', 'audit', 'call', 'stopped'],
    );
  });

  test('a connection that breaks meanwhile takes no call along', async () => {
    const { pinner, running, release } = await startHeld();
    // A client that closes before it has read everything resets the connection. This one never reads.
    const breaking = connect(socket).pause();
    await once(breaking, 'connect');
    const { publish } = await startPublish(pinner);
    await stopServing(running);
    breaking.destroy();
    await once(breaking, 'close');
    release();
    const { code: published, message } = await publish;
    assert.equal(published, 'OK', message);
    const { code, stderr } = await running.ended;
    assert.deepEqual([code, stderr], [0, '']);
  });

  test('leaves the socket of a successor that started meanwhile', async () => {
    const { pinner, running: first, release } = await startHeld();
    const { publish } = await startPublish(pinner);
    await stopServing(first);
    const second = start();
    await until('the second serves', accepts);
    release();
    assert.equal((await publish).code, 'OK');
    assert.equal((await first.ended).code, 0);
    assert(await accepts());
    second.child.kill('SIGTERM');
    assert.equal((await second.ended).code, 0);
    assert.equal(existsSync(socket), false);
  });

  test('ends a call that does not finish in time', async () => {
    const { pinner, running } = await startHeld(['--drain-timeout', '1']);
    const { publish } = await startPublish(pinner);
    const signalled = Date.now();
    running.child.kill('SIGTERM');
    assert.equal((await running.ended).code, 0);
    assert(Date.now() - signalled < 3000);
    assert.notEqual((await publish).code, 'OK');
  });
});
