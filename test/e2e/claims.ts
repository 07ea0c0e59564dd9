import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { eventually } from '../cluster/eventually.ts';
import { cluster } from './running.ts';
import type { Space } from './space.ts';

/** Ids of the volumes of which the node keeps something: directories in the pinner's store. */
export const kept = () => readdir(cluster.node.path('/run/csi-driver-bpffs/store/volumes'));

/** The name of a claim's PersistentVolume, and the volume's id. */
export async function volumeOf(
  space: Space,
  claimName: string,
): Promise<{ readonly name: string; readonly id: string }> {
  const get = (object: string, path: string) => space.kubectl('get', object, `--output=jsonpath=${path}`);
  const name = await get(`pvc/${claimName}`, '{.spec.volumeName}');
  return { name, id: await get(`pv/${name}`, '{.spec.csi.volumeHandle}') };
}

/** The kubelet's staging directories for volumes in use on the node. */
export const staged = () =>
  readdir(cluster.node.path(`${cluster.kubeletDirectory}/plugins/kubernetes.io/csi/csi.bpffs.dev`));

/** The staging directory of a volume. */
export const staging = (volumeId: string) => createHash('sha256').update(volumeId).digest('hex');

/** Waits until nothing is left of a volume: claim, objects and, on the node, maps and the kubelet's directory. */
export async function gone(
  space: Space,
  claimName: string,
  volume: Awaited<ReturnType<typeof volumeOf>>,
): Promise<void> {
  const objects = [`pvc/${claimName}`, `pv/${volume.name}`, `bpfvolume/${volume.name}`];
  await space.kubectl('wait', '--for=delete', '--timeout=60s', ...objects);
  await eventually('the node gives up what it kept', 60, async () => !(await kept()).includes(volume.id));
  await eventually(
    'the kubelet has removed its directory',
    60,
    async () => !(await staged()).includes(staging(volume.id)),
  );
}

/** Deletes a claim and waits until nothing is left of its volume. */
export async function removeClaim(space: Space, claimName: string): Promise<void> {
  const volume = await volumeOf(space, claimName);
  await space.kubectl('delete', 'pvc', claimName, '--timeout=30s');
  await gone(space, claimName, volume);
}
