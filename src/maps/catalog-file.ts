import { BadConfiguration } from '../errors.ts';
import { parseManifests } from '../manifest/manifest.ts';
import { fromBpfMap } from './bpf-map.ts';
import { bpfMapSchema } from './bpf-map-schema.ts';
import type { BpfMap } from './catalog.ts';

/** The BpfMap objects of a YAML file, by name. Throws BadConfiguration with every problem and its line. */
export function parseCatalog(text: string, file: string): ReadonlyMap<string, BpfMap> {
  const maps = new Map<string, BpfMap>();
  const first = new Map<string, string>();
  const problems: string[] = [];
  for (const { value, at, problem } of parseManifests(text, file, bpfMapSchema)) {
    const { name } = value.metadata;
    const before = first.get(name);
    if (before !== undefined) problems.push(problem(['metadata', 'name'], `"${name}" is there already, at ${before}`));
    first.set(name, at(['metadata', 'name']));
    maps.set(name, fromBpfMap(value));
  }
  if (problems.length > 0) throw new BadConfiguration(problems);
  return maps;
}
