import * as z from 'zod/mini';
import { DELEGATION_FIELDS, DELEGATION_NAMES, type DelegationField, type DelegationNames } from './delegation-names.ts';
import { OBJECT_NAME } from './names.ts';

/** The command without which the kernel never looks at a list. */
const NEEDED_FOR = { mapTypes: 'map_create', programTypes: 'prog_load', attachTypes: 'prog_load' } as const;

function names(field: DelegationField) {
  const { within, beyond }: DelegationNames = DELEGATION_NAMES[field];
  return z.array(z.enum([...within, ...beyond]));
}

const spec = z
  .strictObject({
    commands: names('commands').check(z.minLength(1, 'must name one at least')),
    mapTypes: z.optional(names('mapTypes')),
    programTypes: z.optional(names('programTypes')),
    attachTypes: z.optional(names('attachTypes')),
    allowBeyondPod: z.optional(z.boolean()),
  })
  .check((payload) => {
    for (const [path, message] of problemsOf(payload.value)) {
      payload.issues.push({ code: 'custom', path: [...path], message, input: payload.value });
    }
  });

type Spec = { readonly [F in DelegationField]?: readonly string[] | undefined } & {
  readonly allowBeyondPod?: boolean | undefined;
};

type Problem = readonly [path: readonly (string | number)[], text: string];

function problemsOf(spec: Spec): readonly Problem[] {
  const problems: Problem[] = [];
  for (const field of DELEGATION_FIELDS) {
    const listed = spec[field] ?? [];
    const { beyond }: DelegationNames = DELEGATION_NAMES[field];
    for (const [index, name] of listed.entries()) {
      if (listed.indexOf(name) < index) problems.push([[field, index], `"${name}" is named twice`]);
      if (spec.allowBeyondPod !== true && beyond.includes(name)) {
        problems.push([
          [field, index],
          `"${name}" reaches beyond the pod: leave it out, or accept that with allowBeyondPod: true`,
        ]);
      }
    }
  }
  for (const [field, command] of Object.entries(NEEDED_FOR) as [keyof typeof NEEDED_FOR, string][]) {
    const isNamed = (spec[field] ?? []).length > 0;
    const isNeeded = spec.commands?.includes(command) === true;
    if (isNeeded && !isNamed) problems.push([[field], `required with the command ${command}`]);
    if (!isNeeded && isNamed) problems.push([[field], `takes the command ${command}, which is not in commands`]);
  }
  return problems;
}

/** A BpfDelegation as its author writes it. */
export const bpfDelegationSchema = z.strictObject({
  apiVersion: z.literal('bpffs.dev/v1alpha1'),
  kind: z.literal('BpfDelegation'),
  metadata: z.strictObject({
    name: z.string().check(z.regex(OBJECT_NAME, 'must be a DNS-1123 subdomain of at most 128 characters')),
    labels: z.optional(z.record(z.string(), z.string())),
    annotations: z.optional(z.record(z.string(), z.string())),
  }),
  spec,
});

/** A valid BpfDelegation object. */
export type BpfDelegationObject = z.infer<typeof bpfDelegationSchema>;
