import type { Unanswered } from './ask-nodes.ts';
import type { Flags } from './flags.ts';
import { type Found, format } from './output.ts';
import { createProgress } from './progress.ts';
import { openSession, type Session } from './session.ts';

/** Some nodes did not answer, so that the result may not be complete. */
const INCOMPLETE = 3;

/** Runs a command's work, with a line of progress on a terminal. Throws what `work` throws. */
export async function inSession(flags: Flags, work: (session: Session) => Promise<void>): Promise<void> {
  const progress = createProgress(process.stderr);
  const session = await openSession(flags, progress);
  try {
    await work(session);
  } finally {
    session.close();
  }
}

/** Prints what a command finds. */
export async function run<T>(flags: Flags, work: (session: Session) => Promise<Found<T>>): Promise<void> {
  await inSession(flags, async (session) => {
    const found = await work(session);
    process.stdout.write(format(found, flags.output));
    tellUnanswered(found.unanswered);
  });
}

/** Names the nodes that did not answer, and sets the exit code, unless it is already set. */
export function tellUnanswered(unanswered: readonly Unanswered[]): void {
  if (unanswered.length === 0) return;
  for (const { node, error } of unanswered) process.stderr.write(`kubectl bpffs: node ${node}: ${error}\n`);
  process.exitCode ??= INCOMPLETE;
}
