import { readFile } from 'node:fs/promises';

/** A process, told apart by its start time from a later one with the same pid. Can be kept in a file as JSON. */
export interface Process {
  readonly pid: number;
  /** Clock ticks since boot. */
  readonly startTime: string;
}

/** The process with this pid; undefined if there is none, or only a zombie. */
export async function findProcess(pid: number): Promise<Process | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The name, in parentheses, may contain anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state, startTime] = [fields[0], fields[19]];
  return startTime === undefined || state === 'Z' || state === 'X' ? undefined : { pid, startTime };
}

export async function isRunning({ pid, startTime }: Process): Promise<boolean> {
  return (await findProcess(pid))?.startTime === startTime;
}

/** Sends a signal, unless the process has ended. */
export async function signal(process_: Process, name: NodeJS.Signals): Promise<void> {
  if (await isRunning(process_)) process.kill(process_.pid, name);
}

/** A process's first child; undefined if it has none yet. */
export async function findChild(pid: number): Promise<Process | undefined> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  const child = Number.parseInt(children, 10);
  return Number.isNaN(child) ? undefined : findProcess(child);
}
