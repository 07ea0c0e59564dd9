import { readFile } from 'node:fs/promises';
import type { CheckReport as Check } from '../../inspection/reports.ts';

/** The pinner's capabilities, by number and name: include/uapi/linux/capability.h. */
const CAPABILITIES: readonly (readonly [bigint, string])[] = [
  [0n, 'CHOWN'],
  [1n, 'DAC_OVERRIDE'],
  [21n, 'SYS_ADMIN'],
  [39n, 'BPF'],
];

/** Whether a pinner that is started from here could have its capabilities. */
export async function processCheck(): Promise<Check> {
  const what = 'capabilities';
  const bounding = BigInt(`0x${(await processStatus('CapBnd')) ?? '0'}`);
  const missing = CAPABILITIES.filter(([number]) => (bounding & (1n << number)) === 0n).map(([, name]) => name);
  if (missing.length === 0) return { state: 'ok', what, found: 'a pinner started from here can have all it needs' };
  const found = `${missing.join(', ')} not to be had here: start the pinner from a privileged container or shell`;
  return { state: 'warn', what, found };
}

/** Whether a seccomp filter applies to this process, as RuntimeDefault, which denies bpf(2), does to pods. */
export async function seccompCheck(): Promise<Check> {
  const isFiltered = (await processStatus('Seccomp')) === '2';
  const what = 'seccomp';
  if (!isFiltered) return { state: 'ok', what, found: 'no filter here' };
  const found =
    'this process has a filter; the profile RuntimeDefault refuses bpf(2) to pods, which need a Localhost profile that allows it';
  return { state: 'warn', what, found };
}

async function processStatus(field: string): Promise<string | undefined> {
  const line = (await readFile('/proc/self/status', 'utf8')).split('\n').find((text) => text.startsWith(`${field}:`));
  return line?.slice(field.length + 1).trim();
}
