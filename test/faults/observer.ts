// Looks at targets all the time, from its own thread, until told to stop. Each look opens a directory once, so it sees one
// moment: a complete volume or none.
import { readdirSync } from 'node:fs';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';

const { targets, complete, ignored } = workerData as {
  readonly targets: readonly string[];
  readonly complete: readonly string[];
  readonly ignored: readonly string[];
};
const expected = complete.join();
const seen = { absent: 0, complete: 0, other: [] as string[] };

function look(target: string): void {
  let names: string[];
  try {
    names = readdirSync(target);
  } catch {
    seen.absent += 1;
    return;
  }
  const shown = names
    .filter((name) => !ignored.includes(name))
    .sort()
    .join();
  if (shown === expected) seen.complete += 1;
  else if (shown === '') seen.absent += 1;
  else if (seen.other.length < 10) seen.other.push(shown);
}

const port = parentPort;
if (port === null) throw new Error('to be run as a worker');
do for (const target of targets) look(target);
while (receiveMessageOnPort(port) === undefined);
port.postMessage(seen);
port.close();
