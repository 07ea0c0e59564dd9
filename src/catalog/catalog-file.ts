import { BadConfiguration } from '../errors.ts';
import { parseManifests } from '../manifest/manifest.ts';
import type { Source } from '../rpc/generated/pinner.ts';
import { type BpfMapObject, bpfMapSchema } from './bpf-map-schema.ts';
import type { BpfMap, MapSource } from './catalog.ts';
import { toCreatedMap } from './created-map.ts';
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
    maps.set(
      name,
      Object.freeze({ name, fileName, maxAccess: value.spec.maxAccess ?? 'ReadOnly', source: toSource(value) }),
    );
  }
  if (problems.length > 0) throw new BadConfiguration(problems);
  return maps;
}

function toSource({ metadata, spec: { source } }: BpfMapObject): MapSource {
  const { pinned, loaded, created, workspace } = source;
  if (workspace !== undefined) {
    const { namespace, claim, path } = workspace;
    return { kind: 'workspace', claim: { namespace, name: claim }, path };
  }
  const onNode = (from: Source['from']): MapSource => ({ kind: 'node', source: { from } });
  if (pinned !== undefined) return onNode({ $case: 'pinned', value: pinned });
  if (loaded !== undefined) {
    const { map, program = '', programTag = '' } = loaded;
    return onNode({ $case: 'loaded', value: { map, program, programTag } });
  }
  if (created === undefined) throw new TypeError('the schema lets no empty source through');
  // "_" is in no object's name, so that two names cannot meet in the store.
  const name = metadata.name.replaceAll('.', '_');
  return onNode({ $case: 'created', value: toCreatedMap(created, name, '') });
}
