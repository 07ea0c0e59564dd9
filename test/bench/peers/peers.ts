import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { end } from '../../../src/cli/local-node.ts';
import type { BenchNode } from '../bench-node.ts';
import { listening } from '../listening.ts';
import { attribute, type Driver } from '../load-client.ts';

/** A driver that is compared with others. */
export interface Peer extends Driver {
  /** The flags for the attributes of its volumes. */
  readonly attributes: readonly string[];
}

/** Starts test/bench/bind, about the least that a driver of inline volumes can be. It ends with `stack`. */
export async function startBind({ directory, targets }: BenchNode, stack: AsyncDisposableStack): Promise<Peer> {
  const [socket, source] = [join(directory, 'run', 'bind.sock'), join(directory, 'bind')];
  await mkdir(source);
  const bind = spawn('test/bench/bin/bind', ['--endpoint', socket, '--source', source], { stdio: 'inherit' });
  await started(bind, socket, stack);
  return { socket, targets, attributes: [] };
}

/** Starts bpfman-rpc with a program that has two maps. It ends with `stack`. */
export async function startBpfman({ targets }: BenchNode, stack: AsyncDisposableStack): Promise<Peer> {
  const command = ['--mount', '--propagation', 'private', 'test/bench/peers/bpfman.sh'];
  const bpfman = spawn('unshare', command, { stdio: ['ignore', 'ignore', 'inherit'] });
  // Its socket is in its own mount namespace.
  const socket = `/proc/${bpfman.pid}/root/run/bpfman/csi/csi.sock`;
  await started(bpfman, socket, stack);
  const [program, maps] = [attribute('csi.bpfman.io/program', 'bench'), attribute('csi.bpfman.io/maps', 'map0,map1')];
  return { socket, targets, attributes: [...program, ...maps] };
}

async function started(process: ChildProcess, socket: string, stack: AsyncDisposableStack): Promise<void> {
  stack.defer(() => end(process, 'SIGTERM'));
  await listening(socket, process);
}
