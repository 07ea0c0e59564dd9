import * as z from 'zod/mini';
import { BadConfiguration } from '../errors.ts';
import { parseManifests } from '../manifest/manifest.ts';
import type { Delegation } from '../rpc/pinner.ts';
import { fromBpfDelegation } from './bpf-delegation.ts';
import { bpfDelegationSchema } from './bpf-delegation-schema.ts';
import { fromBpfMap } from './bpf-map.ts';
import { bpfMapSchema } from './bpf-map-schema.ts';
import type { BpfMap } from './catalog.ts';

/** What a file of BpfMap and BpfDelegation objects holds, each by name. */
export interface CatalogFile {
  readonly maps: ReadonlyMap<string, BpfMap>;
  readonly delegations: ReadonlyMap<string, Delegation>;
}

const schema = z.discriminatedUnion('kind', [bpfMapSchema, bpfDelegationSchema], {
  error: ({ code }) => (code === 'invalid_union' ? 'must be BpfMap or BpfDelegation' : undefined),
});

/** The objects of a YAML file. Throws BadConfiguration with every problem and its line. */
export function parseCatalog(text: string, file: string): CatalogFile {
  const maps = new Map<string, BpfMap>();
  const delegations = new Map<string, Delegation>();
  const first = new Map<string, string>();
  const problems: string[] = [];
  for (const { value, at, problem } of parseManifests(text, file, schema)) {
    const { kind, metadata } = value;
    const { name } = metadata;
    const key = `${kind} ${name}`;
    const before = first.get(key);
    if (before !== undefined) problems.push(problem(['metadata', 'name'], `"${name}" is there already, at ${before}`));
    first.set(key, at(['metadata', 'name']));
    if (kind === 'BpfMap') maps.set(name, fromBpfMap(value));
    else delegations.set(name, fromBpfDelegation(value));
  }
  if (problems.length > 0) throw new BadConfiguration(problems);
  return { maps, delegations };
}
