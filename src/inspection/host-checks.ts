import { readFile } from 'node:fs/promises';
import type { CheckReport } from './reports.ts';

/** What affects maps and mounts on this machine: sysctls, the kernel's lockdown, SELinux. Omits what cannot be read here. */
export async function hostChecks(): Promise<readonly CheckReport[]> {
  const lockdown = await read('/sys/kernel/security/lockdown');
  const selinux = selinuxCheck(await read('/sys/fs/selinux/enforce'), await read('/proc/self/attr/current'));
  return [
    unprivilegedBpf(await read('/proc/sys/kernel/unprivileged_bpf_disabled')),
    mountMax(await read('/proc/sys/fs/mount-max')),
    ...(lockdown === undefined ? [] : [lockdownCheck(lockdown)]),
    ...(selinux === undefined ? [] : [selinux]),
  ];
}

/** https://docs.kernel.org/admin-guide/sysctl/kernel.html#unprivileged-bpf-disabled */
function unprivilegedBpf(value: string | undefined): CheckReport {
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
function mountMax(value: string | undefined): CheckReport {
  const what = 'fs.mount-max';
  // A volume takes one mount, one for each writable map, and two where the kernel has debug files; and the same again in its pod.
  const MIN = 10_000;
  const isEnough = value === undefined || Number(value) >= MIN;
  const found = `${value ?? 'not there'} mounts in a namespace${isEnough ? '' : `; raise it to ${MIN} or more`}`;
  return { state: isEnough ? 'ok' : 'warn', what, found };
}

/** `value`: "none [integrity] confidentiality". https://man7.org/linux/man-pages/man7/kernel_lockdown.7.html */
export function lockdownCheck(value: string): CheckReport {
  const what = 'kernel lockdown';
  const mode = /\[(\w+)\]/.exec(value)?.[1] ?? value;
  if (mode !== 'confidentiality') return { state: 'ok', what, found: mode };
  const found =
    'confidentiality: programs cannot read kernel memory, so that the maps that tracing programs fill may stay empty; boot with lockdown=integrity';
  return { state: 'warn', what, found };
}

/**
 * `enforce`: "1" in enforcing mode; undefined in most containers, where selinuxfs is not mounted. `label`: of this process, as the kernel's
 * security module has it. Undefined without SELinux.
 */
export function selinuxCheck(enforce: string | undefined, label: string | undefined): CheckReport | undefined {
  const what = 'SELinux';
  // "system_u:system_r:spc_t:s0", where AppArmor has "unconfined" or "docker-default (enforce)".
  const domain = /^[^:]+:[^:]+:([^:]+)/.exec(label ?? '')?.[1];
  if (enforce === undefined && domain === undefined) return undefined;
  if (enforce === '0') return { state: 'ok', what, found: 'permissive: it denies nothing' };
  const mode = `${enforce === '1' ? 'enforcing' : 'on'}, with this process in domain ${domain ?? 'unknown'}`;
  if (domain === 'container_t')
    return { state: 'warn', what, found: `${mode}: the driver's pods need node.seLinuxOptions.type=spc_t` };
  const found = `${mode}: pods with maps need seLinuxOptions.type=bpf-reader.process, or bpf-writer.process to write; see docs/selinux.md`;
  return { state: 'ok', what, found };
}

async function read(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').then(
    (text) => text.trim(),
    () => undefined,
  );
}
