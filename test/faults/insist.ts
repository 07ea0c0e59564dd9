import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { end } from '../../src/cli/local-node.ts';
import { CallError, Code } from '../../src/errors.ts';

/**
 * What a kubelet or a provisioner retries; any other error for a valid request is a defect. RESOURCE_EXHAUSTED because what
 * deleted claims have on the node counts until a node plugin lives long enough to release it.
 */
const REPEATED: readonly Code[] = [
  Code.UNAVAILABLE,
  Code.ABORTED,
  Code.CANCELLED,
  Code.DEADLINE_EXCEEDED,
  Code.RESOURCE_EXHAUSTED,
];

export const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Retries a call, as its caller in a cluster does, until it succeeds; returns its result and the number of retries. */
export async function insist<T>(call: () => Promise<T>): Promise<{ readonly result: T; readonly repeats: number }> {
  for (let repeats = 0; ; repeats++) {
    try {
      return { result: await call(), repeats };
    } catch (error) {
      const { code, message } = CallError.from(error);
      assert.ok(REPEATED.includes(code), `${Code[code]}: ${message}`);
      await pause(5);
    }
  }
}

/** Kills a process so many times, at random moments, and restarts it at once. */
export async function keepKilling(times: number, process: () => ChildProcess, start: () => void): Promise<void> {
  for (let restart = 0; restart < times; restart++) {
    await pause(Math.random() * 250);
    await end(process(), 'SIGKILL');
    start();
  }
}
