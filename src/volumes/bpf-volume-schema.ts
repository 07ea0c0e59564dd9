import * as z from 'zod/mini';
import { MAP_FLAGS, MAP_TYPE_RULES, type MapFlag, type MapType } from '../maps/map-type-rules.ts';
import { FILE_NAME, FILE_NAME_RULE } from '../maps/names.ts';
import { accessModes } from '../request/volume-capability.ts';

const text = z.string().check(z.minLength(1));
const wholeNumber = z.number().check(z.refine((n) => Number.isSafeInteger(n) && n >= 0, 'must be a whole number'));

const definition = {
  type: z.enum(Object.keys(MAP_TYPE_RULES) as MapType[]),
  keySize: wholeNumber,
  valueSize: wholeNumber,
  maxEntries: wholeNumber,
  flags: z.array(z.enum(Object.keys(MAP_FLAGS) as MapFlag[])),
};

/** As CreateVolume has completed it. The kernel's rules are not held against it again: they must not unmake a volume. */
const newMap = z.strictObject({
  name: z.string().check(z.regex(FILE_NAME, FILE_NAME_RULE)),
  ...definition,
  inner: z.exactOptional(z.strictObject(definition)),
});

const claimRef = z.strictObject({ namespace: text, name: text });

const common = {
  /** What CreateVolume called it: "pvc-" and the claim's uid. */
  volumeName: text,
  /** "false": the pods that use it have user namespaces of their own. Absent: true. */
  hostUsers: z.optional(z.boolean()),
  /** CSI's names, of all that were asked for. */
  accessModes: z.array(z.enum(accessModes)),
  /** What was asked for, which bounds nothing later. Absent: nothing. */
  capacityBytes: z.optional(wholeNumber),
  /** The PersistentVolumeClaim that it was made for. Absent: the provisioner did not say. */
  claimRef: z.optional(claimRef),
};

/** In whose memory it lives. */
const nodeName = text;

/** What became of it: see Binding. One that cannot be read is none, and unmakes no volume. */
const status = z.catch(
  z.optional(
    z.discriminatedUnion('phase', [
      z.object({ phase: z.literal('Bound'), claimRef }),
      z.object({ phase: z.literal('Released') }),
    ]),
  ),
  undefined,
);

/**
 * A BpfVolume: a persistent volume that exists. The controller makes and deletes it, each node reads it. What it is never changes;
 * whose it is may.
 */
export const bpfVolumeSchema = z.object({
  apiVersion: z.literal('bpffs.dev/v1alpha1'),
  kind: z.literal('BpfVolume'),
  metadata: z.object({
    /** objectName(spec.volumeName) */
    name: z.string().check(z.regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, 'must be a DNS label')),
    uid: z.string().check(z.regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, 'must be a UUID')),
    creationTimestamp: z.string().check(z.refine((time) => !Number.isNaN(Date.parse(time)), 'must be a time')),
  }),
  spec: z.discriminatedUnion('type', [
    /** `maps`: as in volumeAttributes.maps. */
    z.strictObject({ ...common, type: z.literal('maps'), maps: text }),
    z.strictObject({ ...common, type: z.literal('shared'), newMaps: z.array(newMap), nodeName }),
    z.strictObject({ ...common, type: z.literal('workspace'), nodeName }),
  ]),
  status,
});

/** A valid BpfVolume object. */
export type BpfVolumeObject = z.infer<typeof bpfVolumeSchema>;
