import { BadConfiguration } from '../errors.ts';
import { parseManifests } from '../manifest/manifest.ts';
import { fromBpfMap } from './bpf-map.ts';
import { bpfMapSchema } from './bpf-map-schema.ts';
import type { BpfMap } from './catalog.ts';
import { FILE_NAME } from './names.ts';

/** The BpfMap objects of a YAML file, by name. Throws BadConfiguration with every problem, each with its line. */
export function parseCatalog(text: string, file: string): ReadonlyMap<string, BpfMap> {
  const maps = new Map<string, BpfMap>();
  const first = new Map<string, string>();
  const problems: string[] = [];
  for (const { value, at, problem } of parseManifests(text, file, bpfMapSchema)) {
    const { name } = value.metadata;
    const fileName = value.spec.fileName ?? name;
    const before = first.get(name);
    if (before !== undefined) problems.push(problem(['metadata', 'name'], `"${name}" is there already, at ${before}`));
    if (!FILE_NAME.test(fileName)) {
      problems.push(problem(['spec', 'fileName'], `required, because a bpf filesystem refuses the dot in "${name}"`));
    }
    first.set(name, at(['metadata', 'name']));
    maps.set(name, fromBpfMap(value, fileName));
  }
  if (problems.length > 0) throw new BadConfiguration(problems);
  return maps;
}
