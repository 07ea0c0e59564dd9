import { CallError, internal } from '../errors.ts';
import { objectProblem } from '../kubernetes/object-problem.ts';
import type { KubernetesObject } from '../kubernetes/resource.ts';
import { fromBpfVolume } from './bpf-volume.ts';
import { bpfVolumeSchema } from './bpf-volume-schema.ts';
import type { Volume } from './volume.ts';
import { objectName } from './volume-id.ts';
import type { ReadVolume } from './volume-store.ts';

export const BPF_VOLUMES = { group: 'bpffs.dev', version: 'v1alpha1', plural: 'bpfvolumes' };

/** Throws INTERNAL naming the object if it is invalid. */
export function parseVolume(object: KubernetesObject): Volume {
  const { name } = object.metadata;
  const damaged = (why: string) =>
    internal(
      `BpfVolume ${name} cannot be used: ${why}; when no pod needs the volume any more, delete its PersistentVolume or, if there is none, the object and its finalizers`,
    );
  const parsed = bpfVolumeSchema.safeParse(object);
  if (!parsed.success) throw damaged(objectProblem(parsed.error, object));
  const { volumeName } = parsed.data.spec;
  if (objectName(volumeName) !== name) throw damaged(`its spec.volumeName is "${volumeName}"`);
  return fromBpfVolume(parsed.data);
}

/** Does not throw. */
export function readVolume(object: KubernetesObject): ReadVolume {
  try {
    return { volume: parseVolume(object) };
  } catch (error) {
    return { damage: CallError.from(error).message };
  }
}
