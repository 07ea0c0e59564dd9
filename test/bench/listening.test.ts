import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { listening } from './listening.ts';

test('a socket is waited for, but not that of a process that has ended', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'listening-'));
  const socket = join(directory, 'socket');
  const process = spawn('sleep', ['60']);
  const server = createServer();
  try {
    const waiting = listening(socket, process);
    server.listen(socket);
    await waiting;
    await assert.rejects(listening(join(directory, 'none'), spawn('true')), /^Error: true ended before it listened/);
  } finally {
    process.kill();
    server.close();
    await rm(directory, { recursive: true });
  }
});
