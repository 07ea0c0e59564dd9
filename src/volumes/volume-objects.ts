import { isDeepStrictEqual } from 'node:util';
import { Code, unavailable } from '../errors.ts';
import { ApiError, isAbsent } from '../kubernetes/api-error.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import { listAll } from '../kubernetes/list-all.ts';
import type { KubernetesObject, ObjectKey, Resource } from '../kubernetes/resource.ts';
import { toBpfVolume, toStatus } from './bpf-volume.ts';
import type { Binding, Volume } from './volume.ts';
import { nameInVolumeId, objectName, volumeId } from './volume-id.ts';
import { BPF_VOLUMES, parseVolume, readVolume } from './volume-objects-parse.ts';
import { toListing, type VolumeStore } from './volume-store.ts';

export const PERSISTENT_VOLUMES = { group: '', version: 'v1', plural: 'persistentvolumes' };

/**
 * On each volume that lives in a node's memory. An object that somebody deletes by hand stays until the volume is deleted, because the node
 * releases the volume's content once the object is gone.
 */
const FINALIZER = 'bpffs.dev/volume-protection';

/** Persistent volumes as BpfVolume objects, read without a cache. An invalid object can be deleted. */
export function createVolumeObjects(client: KubernetesClient): VolumeStore {
  return {
    async create(spec) {
      const name = objectName(spec.volumeName);
      const { kind, spec: objectSpec } = toBpfVolume(spec, '');
      try {
        const metadata = { name, ...(spec.nodeName !== undefined && { finalizers: [FINALIZER] }) };
        return parseVolume(await client.create(BPF_VOLUMES, { kind, metadata, spec: objectSpec }));
      } catch (error) {
        if (!(error instanceof ApiError && error.code === Code.ALREADY_EXISTS)) throw error;
      }
      const there = await find(client, name);
      if (there === undefined) throw unavailable(`volume ${name} was deleted while it was created; try again`);
      return there;
    },

    get: (id) => findVolumeObject(client, id),

    async list() {
      return toListing((await listAll(client, BPF_VOLUMES)).map(readVolume));
    },

    async delete(id) {
      const name = nameInVolumeId(id);
      if (name === undefined) return;
      const object = await getObject(client, BPF_VOLUMES, { name });
      if (object === undefined || volumeId(name, object.metadata.uid) !== id) return;
      const others = await unprotect(client, object);
      try {
        await client.delete(BPF_VOLUMES, { name, uid: object.metadata.uid });
      } catch (error) {
        if (!isOver(error)) throw error;
      }
      if (others.length > 0) {
        throw unavailable(`BpfVolume ${name} is deleted once its other finalizers are gone: ${others.join(', ')}`);
      }
    },

    // external-provisioner gives the PersistentVolume the same name as the volume.
    isUnused: async ({ binding, spec: { volumeName: name } }) =>
      binding === undefined && (await getObject(client, PERSISTENT_VOLUMES, { name })) === undefined,
  };
}

/** Writes a volume's binding to its status, unless it is there already, or the volume is gone. */
export async function setBinding(client: KubernetesClient, id: string, binding: Binding): Promise<void> {
  const name = nameInVolumeId(id) ?? '';
  const object = await getObject(client, BPF_VOLUMES, { name });
  if (object === undefined || volumeId(name, object.metadata.uid) !== id) return;
  const status = toStatus(binding);
  if (isDeepStrictEqual(object.status, status)) return;
  const metadata = { uid: object.metadata.uid };
  try {
    // A merge patch removes only fields that are null in it.
    const patch = { metadata, status: { claimRef: null, ...status } };
    await client.patch({ ...BPF_VOLUMES, subresource: 'status' }, { name }, patch);
  } catch (error) {
    if (!isOver(error)) throw error;
  }
}

/** The object is gone or replaced, which does not concern a call about the former one. */
function isOver(error: unknown): boolean {
  return isAbsent(error) || (error instanceof ApiError && error.code === Code.ABORTED);
}

/** The volume of this id as it is now; undefined: certainly none. */
export async function findVolumeObject(client: KubernetesClient, id: string): Promise<Volume | undefined> {
  const name = nameInVolumeId(id);
  const volume = name === undefined ? undefined : await find(client, name);
  return volume?.id === id ? volume : undefined;
}

/** Removes the driver's finalizer if present, and returns the others. Throws ABORTED if the object has changed meanwhile. */
async function unprotect(client: KubernetesClient, { metadata }: KubernetesObject): Promise<readonly string[]> {
  const { name, uid, resourceVersion, finalizers = [] } = metadata;
  const others = finalizers.filter((finalizer) => finalizer !== FINALIZER);
  if (others.length === finalizers.length) return others;
  try {
    await client.patch(BPF_VOLUMES, { name }, { metadata: { uid, resourceVersion, finalizers: others } });
  } catch (error) {
    if (!isAbsent(error)) throw error;
  }
  return others;
}

async function find(client: KubernetesClient, name: string): Promise<Volume | undefined> {
  const object = await getObject(client, BPF_VOLUMES, { name });
  return object && parseVolume(object);
}

/** Undefined: certainly none. */
export async function getObject(
  client: KubernetesClient,
  resource: Resource,
  key: ObjectKey,
): Promise<KubernetesObject | undefined> {
  try {
    return await client.get(resource, key);
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}
