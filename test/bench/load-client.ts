import { execa } from 'execa';

/** A driver that is measured. */
export interface Driver {
  /** Its CSI socket. */
  readonly socket: string;
  /** The directory in which its volumes are published. */
  readonly targets: string;
}

/** What the load client measured of one kind of call. */
export interface Calls {
  readonly p50_us: number;
  readonly p99_us: number;
  readonly per_second: number;
}

/** Plays the kubelet with a new connection for each call: see test/bench/load. */
export async function load<Kind extends string>(
  { socket, targets }: Driver,
  args: readonly string[],
): Promise<Readonly<Record<Kind, Calls>>> {
  const { stdout } = await execa('test/bench/bin/load', [
    ...['--socket', socket, '--target-dir', targets, '--connection', 'new', '--json'],
    ...args,
  ]);
  return (JSON.parse(stdout) as { readonly calls: Readonly<Record<Kind, Calls>> }).calls;
}

/** The flag for a volume attribute. */
export function attribute(key: string, value: string): readonly string[] {
  return ['--context', `${key}=${value}`];
}

/** The flags for so many calls, after one of each caller that is not measured. */
export function counts(callers: number, calls: number): readonly string[] {
  return ['--callers', `${callers}`, '--warm-up', `${callers}`, '--count', `${calls}`];
}
