import type { Socket } from 'node:net';

/** When one of two sockets closes, so does the other. `ends` has both until they close. */
export function joinSockets(near: Socket, far: Socket, ends: Set<Socket>): void {
  for (const [from, into] of [
    [near, far],
    [far, near],
  ] as const) {
    ends.add(from);
    from.on('error', () => into.destroy());
    from.on('close', () => {
      ends.delete(from);
      into.destroy();
    });
  }
}
