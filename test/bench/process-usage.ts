import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Linux reports times in hundredths of a second to all programs: https://man7.org/linux/man-pages/man7/time.7.html */
const TICKS_PER_SECOND = 100;

/** CPU time of a process so far, in core-seconds. */
export function cpuSeconds(pid: number): Promise<number> {
  return cpuSecondsIn(`/proc/${pid}`);
}

/** The same of a process's directory in any proc. */
export async function cpuSecondsIn(directory: string): Promise<number> {
  const stat = await readFile(join(directory, 'stat'), 'utf8');
  // The second field, the name, may contain anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Resident memory of a process. */
export async function residentMebibytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024;
}
