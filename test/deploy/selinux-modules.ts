import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';

const DIRECTORY = new URL('../../deploy/selinux/', import.meta.url).pathname;

/** The profiles of deploy/selinux. Each gives pods a type, `NAME.process`. */
export const PROFILES = ['bpf-reader', 'bpf-writer'] as const;
export type Profile = (typeof PROFILES)[number];

/** A SelinuxProfile of the security-profiles-operator, as far as those of deploy/selinux use it. */
export interface SelinuxProfile {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly inherit: readonly { readonly kind: 'System'; readonly name: string }[];
    /** By type and class: the permissions. */
    readonly allow: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
  };
}

export async function readProfile(name: Profile): Promise<SelinuxProfile> {
  return parse(await readFile(join(DIRECTORY, `${name}.yaml`), 'utf8'));
}

/** Where the module of a profile is. */
export function modulePath(name: Profile): string {
  return join(DIRECTORY, `${name}.cil`);
}

/**
 * The CIL module that does the same as the profile: what the operator makes of it, too.
 * https://github.com/kubernetes-sigs/security-profiles-operator/blob/main/internal/pkg/translator/obj2cil.go
 */
export function selinuxModule({ metadata, spec }: SelinuxProfile): string {
  const lines = [
    ...spec.inherit.map(({ name }) => `(blockinherit ${name})`),
    ...sorted(spec.allow).flatMap(([type, classes]) =>
      sorted(classes).map(
        ([name, permissions]) => `(allow process ${type} ( ${name} ( ${permissions.toSorted().join(' ')} )))`,
      ),
    ),
  ];
  return `; Made from ${metadata.name}.yaml by \`make manifests\`.\n(block ${metadata.name}\n${lines.join('\n')}\n)\n`;
}

function sorted<T>(record: Readonly<Record<string, T>>): readonly [string, T][] {
  return Object.entries(record).sort(([one], [other]) => (one < other ? -1 : 1));
}
