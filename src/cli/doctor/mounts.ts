import { readFile, realpath, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { CheckReport as Check } from '../../inspection/reports.ts';

/** f_type of a bpffs: BPF_FS_MAGIC in include/uapi/linux/magic.h. */
const BPF_FS_MAGIC = 0xcafe4a11;

/** Whether maps can be pinned beneath a directory, as this process sees it. */
export async function pinsCheck(path: string): Promise<Check> {
  const what = `pins at ${path}`;
  const type = await statfs(path).then(
    (found) => found.type,
    () => undefined,
  );
  if (type === undefined) return { state: 'warn', what, found: 'does not exist: nothing can be pinned there' };
  if (type === BPF_FS_MAGIC) return { state: 'ok', what, found: 'is a bpf filesystem' };
  const remedy = `mount -t bpf bpf ${path}`;
  return { state: 'warn', what, found: `is no bpf filesystem: maps of "pinned" sources cannot be there; ${remedy}` };
}

/** Whether what is published beneath the kubelet's directory is seen by containers. */
export async function kubeletDirCheck(kubeletDir: string): Promise<Check> {
  const what = `kubelet at ${kubeletDir}`;
  const path = join(kubeletDir, 'pods');
  const isDirectory = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isDirectory) return { state: 'fail', what, found: `no directory ${path}: set --kubelet-dir` };
  // The mount table contains no symbolic links.
  const mount = mountOf(await realpath(path), await readFile('/proc/self/mountinfo', 'utf8'));
  if (mount?.isShared) return { state: 'ok', what, found: `lies on the shared mount ${mount.point}` };
  const remedy = `mount --bind ${kubeletDir} ${kubeletDir} && mount --make-rshared ${kubeletDir}`;
  return { state: 'warn', what, found: `lies on a private mount: containers will not see volumes; ${remedy}` };
}

/** The mount that `path` is on, from the text of /proc/self/mountinfo. Later lines cover earlier ones. */
export function mountOf(path: string, mountinfo: string): { point: string; isShared: boolean } | undefined {
  let found: { point: string; isShared: boolean } | undefined;
  for (const line of mountinfo.split('\n')) {
    const [point, optional] = [line.split(' ')[4], line.split(' - ')[0] ?? ''];
    if (point === undefined) continue;
    const covers = point === '/' || path === point || path.startsWith(`${point}/`);
    if (covers && point.length >= (found?.point.length ?? 0)) found = { point, isShared: / shared:\d+/.test(optional) };
  }
  return found;
}
