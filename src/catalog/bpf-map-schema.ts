import * as z from 'zod/mini';
import { FILE_NAME, isPlainPath, OBJECT_NAME } from './names.ts';

const uint32 = (least: number) =>
  z
    .number()
    .check(
      z.refine(
        (n) => Number.isInteger(n) && n >= least && n <= 0xffffffff,
        `must be a whole number from ${least} to 4294967295`,
      ),
    );

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

const loaded = z.strictObject({
  map: kernelName,
  program: z.optional(kernelName),
  programTag: z.optional(
    z.string().check(z.regex(/^[0-9a-f]{16}$/, 'must be 16 hexadecimal digits, as bpftool prog shows it')),
  ),
});

/** Types and flags go to the kernel as they are, and the pinner checks them again: https://docs.kernel.org/bpf/maps.html */
const created = z.strictObject({
  type: z.enum([
    'hash',
    'array',
    'percpu_hash',
    'percpu_array',
    'lru_hash',
    'lru_percpu_hash',
    'lpm_trie',
    'queue',
    'stack',
    'bloom_filter',
    'ringbuf',
    'user_ringbuf',
    'sockmap',
    'sockhash',
    'xskmap',
    'devmap',
    'devmap_hash',
    'cpumap',
  ]),
  keySize: uint32(0),
  valueSize: uint32(0),
  maxEntries: uint32(1),
  flags: z.optional(
    z.array(
      z.enum([
        'BPF_F_NO_PREALLOC',
        'BPF_F_NO_COMMON_LRU',
        'BPF_F_ZERO_SEED',
        'BPF_F_RDONLY_PROG',
        'BPF_F_WRONLY_PROG',
        'BPF_F_MMAPABLE',
      ]),
    ),
  ),
});

const source = z
  .strictObject({ pinned: z.optional(pinned), loaded: z.optional(loaded), created: z.optional(created) })
  .check(
    z.refine(
      (from) => Object.values(from).filter((value) => value !== undefined).length === 1,
      'exactly one of pinned, loaded, created is required',
    ),
  );

/** A BpfMap as its author writes it. */
export const bpfMapSchema = z.strictObject({
  apiVersion: z.literal('bpffs.dev/v1alpha1'),
  kind: z.literal('BpfMap'),
  metadata: z.strictObject({
    name: z.string().check(z.regex(OBJECT_NAME, 'must be a DNS-1123 subdomain of at most 128 characters')),
    labels: z.optional(z.record(z.string(), z.string())),
    annotations: z.optional(z.record(z.string(), z.string())),
  }),
  spec: z.strictObject({
    source,
    fileName: z.optional(z.string().check(z.regex(FILE_NAME, 'must be 1 to 128 of A-Z a-z 0-9 _ -'))),
    maxAccess: z.optional(z.enum(['ReadOnly', 'ReadWrite'])),
  }),
});

/** A valid BpfMap object. */
export type BpfMapObject = z.infer<typeof bpfMapSchema>;
