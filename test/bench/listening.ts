import type { ChildProcess } from 'node:child_process';
import { connect } from 'node:net';

/** Resolves once the socket accepts connections. Throws if the process that is to listen has ended. */
export async function listening(path: string, process: ChildProcess): Promise<void> {
  for (;;) {
    const isListening = await new Promise<boolean>((resolve) => {
      const socket = connect(path, () => {
        socket.destroy();
        resolve(true);
      });
      socket.on('error', () => resolve(false));
    });
    if (isListening) return;
    if (process.exitCode !== null || process.signalCode !== null) {
      throw new Error(`${process.spawnfile} ended before it listened on ${path}; its output is above`);
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
