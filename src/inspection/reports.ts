import * as z from 'zod/mini';

/**
 * What a node plugin tells of itself and its node, as JSON over HTTP; see serveInspection. Times are RFC 3339 in UTC, by the node's clock.
 * Readers ignore unknown fields, so that a newer plugin can add some; a missing field makes a report unreadable. Every list has a bound,
 * and a count of what did not fit.
 */

const time = z.string();
const count = z.number();

/** A map as the kernel describes it; sizes and memory in bytes, flags as BPF_F_… bits. */
const mapSchema = z.object({
  id: z.number(),
  name: z.string(),
  /** bpftool's name of the type. */
  type: z.string(),
  keySize: z.number(),
  valueSize: z.number(),
  maxEntries: z.number(),
  flags: z.number(),
  memoryBytes: z.number(),
});

const fileSchema = z.object({
  /** Relative to the volume's directory. */
  path: z.string(),
  access: z.enum(['read', 'write']),
  /** The BpfMap that it comes from; null: none, or not known. */
  bpfMap: z.nullable(z.string()),
  map: mapSchema,
  /** Whether its source has the same map now; null: there is no source, or it cannot be looked up now. */
  isCurrent: z.nullable(z.boolean()),
});

/** A map that the pod asked for and does not have as it asked for. */
const refusalSchema = z.object({
  bpfMap: z.string(),
  /** A RefusalReason of the node plugin: "denied", "absent", "sourceMissing" … */
  reason: z.string(),
  message: z.string(),
});

const podSchema = z.object({
  namespace: z.string(),
  name: z.string(),
  serviceAccount: z.string(),
});

const volumeSchema = z.object({
  /** In the pod spec, or the PersistentVolume's. */
  name: z.string(),
  volumeId: z.string(),
  /** Null: not known since the plugin's start, until the kubelet repeats its request (60 to 90 s). */
  type: z.nullable(z.enum(['maps', 'shared', 'workspace'])),
  /** The BpfDelegation, for a volume that has one; its `type` is null. */
  delegation: z.optional(z.string()),
  podUid: z.string(),
  /** Null as for `type`, or because the request named no pod. */
  pod: z.nullable(podSchema),
  /** When the pod got it; null: before the plugin started. */
  since: z.nullable(time),
  /** With 2 or more, a container that does not follow mounts keeps older maps until it restarts. */
  generations: count,
  files: z.array(fileSchema),
  refusals: z.array(refusalSchema),
  /** How many more refusals there are; missing: none. */
  refusalsLeftOut: z.optional(count),
  /** How many more files there are. */
  filesLeftOut: count,
});

/** GET /volumes: the volumes of the node, and what is in them. */
export const volumesReportSchema = z.object({
  node: z.string(),
  time,
  volumes: z.array(volumeSchema),
  /** How many more volumes there are, or could not be described. */
  volumesLeftOut: count,
});

const refusedTo = {
  namespace: z.string(),
  serviceAccount: z.string(),
  /** The last pod that was refused. */
  pod: z.string(),
};

const refusedFor = {
  /** Why: "grant" (no RBAC rule), "maxAccess" (nobody may), or a RefusalReason. */
  reason: z.string(),
  /** What to do, or what is wrong. */
  message: z.string(),
  first: time,
  last: time,
  /** From first to last; the kubelet repeats its request for a waiting pod. */
  count,
};

const denialSchema = z.object({ ...refusedTo, bpfMap: z.string(), verb: z.enum(['read', 'write']), ...refusedFor });

/** `reason` is "grant" or "absent". */
const delegationDenialSchema = z.object({
  ...refusedTo,
  bpfDelegation: z.string(),
  verb: z.literal('use'),
  ...refusedFor,
});

/** GET /denials: which maps and delegations were refused to which service accounts, the latest first. */
export const denialsReportSchema = z.object({
  node: z.string(),
  time,
  /** Nothing before is known. */
  since: time,
  /** Of maps. */
  denials: z.array(denialSchema),
  /** Of BpfDelegations; missing: the node plugin does not tell. */
  delegations: z.optional(z.array(delegationDenialSchema)),
  /** How many were forgotten because others came. */
  denialsLeftOut: count,
});

/** A check and its result. `fail`: no volume can be published. `warn`: something does not work, or not as one may expect. */
const checkSchema = z.object({
  state: z.enum(['ok', 'warn', 'fail']),
  what: z.string(),
  /** What was found and, unless it is ok, what to do. */
  found: z.string(),
});

const shareSchema = z.object({ used: z.number(), limit: z.number() });

const pinnerSchema = z.object({
  version: z.string(),
  kernelRelease: z.string(),
  volumes: count,
  createdMaps: shareSchema,
  createdMemoryBytes: shareSchema,
  workspaces: shareSchema,
});

/** GET /node: how the node is. */
export const nodeReportSchema = z.object({
  node: z.string(),
  time,
  version: z.string(),
  /** When the plugin started. */
  started: time,
  /** The plugin's resident memory. */
  memoryBytes: z.number(),
  /** Null: it does not answer, and a check says so. */
  pinner: z.nullable(pinnerSchema),
  /** BpfMaps. */
  catalog: z.object({ valid: count, invalid: count }),
  /** How old the plugin's copies of API objects are; null: never read. */
  watches: z.array(z.object({ resource: z.string(), stalenessSeconds: z.nullable(z.number()) })),
  checks: z.array(checkSchema),
});

export type MapReport = z.infer<typeof mapSchema>;
export type FileReport = z.infer<typeof fileSchema>;
export type VolumeReport = z.infer<typeof volumeSchema>;
export type VolumesReport = z.infer<typeof volumesReportSchema>;
export type DenialReport = z.infer<typeof denialSchema>;
export type DelegationDenialReport = z.infer<typeof delegationDenialSchema>;
export type DenialsReport = z.infer<typeof denialsReportSchema>;
export type CheckReport = z.infer<typeof checkSchema>;
export type NodeReport = z.infer<typeof nodeReportSchema>;
