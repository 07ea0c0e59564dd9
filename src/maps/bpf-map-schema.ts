import * as z from 'zod/mini';
import { mapDefinitionSchema } from './map-definition-schema.ts';
import { FILE_NAME, FILE_NAME_RULE, isPlainPath, OBJECT_NAME } from './names.ts';
import { OWNER_FIELDS } from './workspace-owner.ts';

const kernelName = z
  .string()
  .check(
    z.regex(
      /^[A-Za-z0-9_.]{1,15}$/,
      'must be 1 to 15 letters, digits, "_" or ".": the kernel keeps the first 15 characters',
    ),
  );

const pinned = z.strictObject({
  path: z.string().check(z.refine(isPlainPath, 'must be an absolute path without "." or ".." or empty elements')),
});

const programTag = z
  .string()
  .check(z.regex(/^[0-9a-f]{16}$/, 'must be 16 hexadecimal digits, as bpftool prog shows it'));

const loaded = z.strictObject({
  map: kernelName,
  program: z.optional(kernelName),
  programTag: z.optional(programTag),
});

const nameOf = (kind: string) => z.optional(z.string().check(z.regex(OBJECT_NAME, `must be the name of a ${kind}`)));

const volumeName = z
  .string()
  .check(z.regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, 'must be the name of a volume in the pod spec'));

const pathIn = (where: string) =>
  z
    .string()
    .check(
      z.regex(
        /^[^/.\0]+(\/[^/.\0]+)*$/,
        `must be relative to the ${where}, as "agent/flows"; bpf filesystems refuse dots`,
      ),
      z.maxLength(4094, 'must have at most 4094 characters'),
    );

/** What names a workspace: its claim, or whose it is. */
const WORKSPACE_NAMES = ['claim', ...OWNER_FIELDS] as const;

const workspace = z
  .strictObject({
    namespace: z.string().check(z.regex(OBJECT_NAME, "must be the namespace of the workspace's claim")),
    claim: nameOf('PersistentVolumeClaim'),
    daemonSet: nameOf('DaemonSet'),
    deployment: nameOf('Deployment'),
    statefulSet: nameOf('StatefulSet'),
    serviceAccount: nameOf('service account'),
    volume: z.optional(volumeName),
    path: pathIn('workspace'),
  })
  .check(
    z.refine((from) => WORKSPACE_NAMES.filter((name) => from[name] !== undefined).length === 1, {
      error: `exactly one of ${WORKSPACE_NAMES.join(', ')} is required`,
      abort: true,
    }),
    z.refine(({ claim, volume }) => (claim === undefined) === (volume !== undefined), {
      path: ['volume'],
      error: 'the name of a volume in the pod spec: required with all but claim, not allowed with it',
    }),
  );

const delegation = z.strictObject({
  namespace: z.string().check(z.regex(OBJECT_NAME, "must be the namespace of the loader's pods")),
  serviceAccount: z.string().check(z.regex(OBJECT_NAME, "must be the service account of the loader's pods")),
  volume: volumeName,
  path: pathIn('delegation'),
});

const bpfman = z.strictObject({
  namespace: z.optional(z.string().check(z.regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, 'must be a namespace'))),
  application: z.string().check(z.regex(OBJECT_NAME, 'must be the name of a ClusterBpfApplication or BpfApplication')),
  program: z
    .string()
    .check(
      z.regex(/^[A-Za-z0-9_.]{1,64}$/, 'must be a program of the application: 1 to 64 letters, digits, "_" or "."'),
    ),
  programTag: z.optional(programTag),
  map: kernelName,
});

const source = z
  .strictObject({
    pinned: z.optional(pinned),
    loaded: z.optional(loaded),
    bpfman: z.optional(bpfman),
    created: z.optional(mapDefinitionSchema),
    workspace: z.optional(workspace),
    delegation: z.optional(delegation),
  })
  .check(
    z.refine(
      (from) => Object.values(from).filter((value) => value !== undefined).length === 1,
      'exactly one of pinned, loaded, bpfman, created, workspace, delegation is required',
    ),
  );

/** A BpfMap as its author writes it. Without a fileName, its name must be a valid one. */
export const bpfMapSchema = z
  .strictObject({
    apiVersion: z.literal('bpffs.dev/v1alpha1'),
    kind: z.literal('BpfMap'),
    metadata: z.strictObject({
      name: z.string().check(z.regex(OBJECT_NAME, 'must be a DNS-1123 subdomain of at most 128 characters')),
      labels: z.optional(z.record(z.string(), z.string())),
      annotations: z.optional(z.record(z.string(), z.string())),
    }),
    spec: z.strictObject({
      source,
      fileName: z.optional(z.string().check(z.regex(FILE_NAME, FILE_NAME_RULE))),
      maxAccess: z.optional(z.enum(['ReadOnly', 'ReadWrite'])),
    }),
  })
  .check((payload) => {
    const { metadata, spec } = payload.value;
    if (spec.fileName !== undefined || FILE_NAME.test(metadata.name)) return;
    payload.issues.push({
      code: 'custom',
      path: ['spec', 'fileName'],
      message: `required, because a bpf filesystem refuses the dot in "${metadata.name}"`,
      input: payload.value,
    });
  });

/** A valid BpfMap object. */
export type BpfMapObject = z.infer<typeof bpfMapSchema>;
