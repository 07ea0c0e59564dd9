import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Http2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Code } from '../errors.ts';
import { createUnaryClient, type Method } from './unary-client.ts';

const ECHO: Method<string, string> = {
  path: '/test.Echo/Say',
  requestSerialize: (text) => Buffer.from(text),
  responseDeserialize: (bytes) => bytes.toString(),
};
const soon = () => ({ deadline: Date.now() + 5000 });

/** A server that answers each call with `answer`, and a client of it. */
async function start(t: TestContext, answer: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void) {
  const directory = await mkdtemp(join(tmpdir(), 'unary-client-'));
  const socket = join(directory, 'socket');
  const server: Http2Server = createServer();
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    stream.on('error', () => undefined);
    answer(stream, headers);
  });
  const sessions = new Set<{ destroy(): void; goaway(): void }>();
  server.on('session', (session) => sessions.add(session));
  server.listen(socket);
  await once(server, 'listening');
  const client = createUnaryClient('echo', socket);
  t.after(async () => {
    client.close();
    for (const session of sessions) session.destroy();
    server.close();
    await rm(directory, { recursive: true });
  });
  return { client, sessions };
}

/** Answers with these bytes, a piece at a time, and status 0. */
function reply(stream: ServerHttp2Stream, ...pieces: readonly Buffer[]): void {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  for (const piece of pieces) stream.write(piece);
  stream.end();
}

const framed = (text: string) => Buffer.concat([Buffer.from([0, 0, 0, 0, text.length]), Buffer.from(text)]);

test('sends path, deadline and framed message, and reads a response that comes in pieces', async (t) => {
  const { client } = await start(t, async (stream, headers) => {
    assert.equal(headers[':path'], '/test.Echo/Say');
    assert.match(String(headers['grpc-timeout']), /^\d+m$/);
    const [request] = await once(stream, 'data');
    assert.deepEqual(request, framed('hello'));
    const answer = framed('world');
    reply(stream, answer.subarray(0, 3), answer.subarray(3, 7), answer.subarray(7));
  });
  assert.equal(await client.call(ECHO, 'hello', soon()), 'world');
});

test('a status without a message keeps code and text', async (t) => {
  const { client } = await start(t, (stream) => {
    const headers = { ':status': 200, 'grpc-status': '9', 'grpc-message': 'map %22flows%22: 100% full' };
    stream.respond(headers, { endStream: true });
  });
  // Not every server encodes the text.
  const message = 'map %22flows%22: 100% full';
  await assert.rejects(client.call(ECHO, '', soon()), { code: Code.FAILED_PRECONDITION, message });
});

test('an encoded text is decoded', async (t) => {
  const { client } = await start(t, (stream) => {
    stream.respond({ ':status': 200, 'grpc-status': '5', 'grpc-message': 'caf%C3%A9' }, { endStream: true });
  });
  await assert.rejects(client.call(ECHO, '', soon()), { code: Code.NOT_FOUND, message: 'café' });
});

test('a response that is not framed is INTERNAL', async (t) => {
  const { client } = await start(t, (stream) => reply(stream, Buffer.from('no frame')));
  await assert.rejects(client.call(ECHO, '', soon()), { code: Code.INTERNAL });
});

test('a lost connection is UNAVAILABLE, and the next call connects again', async (t) => {
  let calls = 0;
  const { client, sessions } = await start(t, (stream) => {
    calls += 1;
    if (calls > 1) reply(stream, framed('again'));
    else for (const session of sessions) session.destroy();
  });
  await assert.rejects(client.call(ECHO, '', soon()), { code: Code.UNAVAILABLE, message: /^echo at unix:\/\// });
  assert.equal(await client.call(ECHO, '', soon()), 'again');
});

test('connects again to a server that drains', async (t) => {
  const { client, sessions } = await start(t, (stream) => reply(stream, framed('here')));
  assert.equal(await client.call(ECHO, '', soon()), 'here');
  for (const session of sessions) session.goaway();
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(await client.call(ECHO, '', soon()), 'here');
  assert.equal(sessions.size, 2);
});

test('a request that cannot be serialized opens no stream', async (t) => {
  const { client, sessions } = await start(t, (stream) => reply(stream, framed('here')));
  const broken: Method<string, string> = {
    ...ECHO,
    requestSerialize() {
      throw new TypeError('a field is missing');
    },
  };
  await assert.rejects(client.call(broken, '', soon()), { message: 'a field is missing' });
  assert.equal(sessions.size, 0);
  assert.equal(await client.call(ECHO, '', soon()), 'here');
});

test('a response that is too long is cancelled, and the connection stays in use', async (t) => {
  let calls = 0;
  const { client, sessions } = await start(t, (stream) => {
    calls += 1;
    if (calls === 1) reply(stream, ...Array.from({ length: 5 }, () => Buffer.alloc(1 << 20)));
    else reply(stream, framed('here'));
  });
  const message = /^echo at unix:\/\/.* answers with more than 4 MiB$/;
  await assert.rejects(client.call(ECHO, '', soon()), { code: Code.RESOURCE_EXHAUSTED, message });
  assert.equal(await client.call(ECHO, '', soon()), 'here');
  assert.equal(sessions.size, 1);
});

test('a deadline and an aborted signal reach the server', async (t) => {
  const closed: number[] = [];
  const { client } = await start(t, (stream) => stream.on('close', () => closed.push(stream.rstCode)));
  await assert.rejects(client.call(ECHO, '', { deadline: Date.now() + 50 }), { code: Code.DEADLINE_EXCEEDED });
  const controller = new AbortController();
  setTimeout(() => controller.abort(new Error('nobody waits')), 50);
  await assert.rejects(client.call(ECHO, '', { ...soon(), signal: controller.signal }), { message: 'nobody waits' });
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(closed, [8, 8]);
});
