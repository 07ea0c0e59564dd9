import * as z from 'zod/mini';
import { MAP_FLAGS, MAP_TYPE_RULES, type MapFlag, type MapType } from '../maps/map-type-rules.ts';
import { FILE_NAME, FILE_NAME_RULE } from '../maps/names.ts';
import { accessModes } from '../request/volume-capability.ts';

const text = z.string().check(z.minLength(1, 'must not be empty'));
const wholeNumber = z.number().check(z.refine((n) => Number.isSafeInteger(n) && n >= 0, 'must be a whole number'));

const definition = {
  type: z.enum(Object.keys(MAP_TYPE_RULES) as MapType[]),
  keySize: wholeNumber,
  valueSize: wholeNumber,
  maxEntries: wholeNumber,
  flags: z.array(z.enum(Object.keys(MAP_FLAGS) as MapFlag[])),
};

/** As CreateVolume completed it. The kernel's rules are not checked again: they must not invalidate an existing volume. */
const newMap = z.strictObject({
  name: z.string().check(z.regex(FILE_NAME, FILE_NAME_RULE)),
  ...definition,
  inner: z.exactOptional(z.strictObject(definition)),
});

const claimRef = z.strictObject({ namespace: text, name: text });

const owner = z.strictObject({
  pod: text,
  volume: text,
  serviceAccount: text,
  workload: z.exactOptional(
    z.strictObject({ kind: z.enum(['DaemonSet', 'Deployment', 'StatefulSet']), name: text, uid: text }),
  ),
});

const common = {
  /** Its name in CreateVolume: "pvc-" and the claim's uid. */
  volumeName: text,
  /** false: the pods that use it have their own user namespaces. Absent: true. */
  hostUsers: z.optional(z.boolean()),
  /** CSI's names of all modes that were requested. */
  accessModes: z.array(z.enum(accessModes)),
  /** The requested size, which limits nothing later. Absent: none. */
  capacityBytes: z.optional(wholeNumber),
  /** The PersistentVolumeClaim that it was made for. Absent: the provisioner did not say. */
  claimRef: z.optional(claimRef),
};

/** The node in whose memory it lives. */
const nodeName = text;

/** `owner`, `ownerProblem`: see VolumeSpec. */
const workspace = z
  .strictObject({
    ...common,
    type: z.literal('workspace'),
    nodeName,
    owner: z.exactOptional(owner),
    ownerProblem: z.exactOptional(text),
  })
  .check(
    z.refine(({ owner, claimRef }) => owner === undefined || claimRef !== undefined, {
      path: ['owner'],
      error: 'is in the namespace of claimRef, which is missing',
    }),
  );

/** See Binding. An invalid status counts as absent, and does not invalidate the volume. */
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
 * A BpfVolume: a persistent volume that exists. The controller creates and deletes it, nodes read it. Its spec never changes; its status
 * does when its binding changes.
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
    /** `maps`: in the syntax of volumeAttributes.maps. */
    z.strictObject({ ...common, type: z.literal('maps'), maps: text }),
    z.strictObject({ ...common, type: z.literal('shared'), newMaps: z.array(newMap), nodeName }),
    workspace,
  ]),
  status,
});

/** A valid BpfVolume object. */
export type BpfVolumeObject = z.infer<typeof bpfVolumeSchema>;
