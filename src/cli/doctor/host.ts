import { readFile } from 'node:fs/promises';
import type { Check } from './check.ts';

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

/** The sysctls that affect maps and mounts. */
export async function sysctlChecks(): Promise<readonly Check[]> {
  return [unprivilegedBpf(await sysctl('kernel/unprivileged_bpf_disabled')), mountMax(await sysctl('fs/mount-max'))];
}

/** https://docs.kernel.org/admin-guide/sysctl/kernel.html#unprivileged-bpf-disabled */
function unprivilegedBpf(value: string | undefined): Check {
  const what = 'kernel.unprivileged_bpf_disabled';
  if (value === '0') {
    const found = '0: any process may load programs, and read-only cannot be held against those; set it to 2';
    return { state: 'warn', what, found };
  }
  return {
    state: 'ok',
    what,
    found: `${value ?? 'not there'}: maps can be used through their pins, programs not loaded`,
  };
}

/** https://docs.kernel.org/admin-guide/sysctl/fs.html#mount-max */
function mountMax(value: string | undefined): Check {
  const what = 'fs.mount-max';
  // A volume takes one mount, one for each writable map, and two where the kernel has debug files; and the same again in its pod.
  const MIN = 10_000;
  const isEnough = value === undefined || Number(value) >= MIN;
  const found = `${value ?? 'not there'} mounts in a namespace${isEnough ? '' : `; raise it to ${MIN} or more`}`;
  return { state: isEnough ? 'ok' : 'warn', what, found };
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

async function sysctl(path: string): Promise<string | undefined> {
  return readFile(`/proc/sys/${path}`, 'utf8').then(
    (text) => text.trim(),
    () => undefined,
  );
}
