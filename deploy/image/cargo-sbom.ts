// Prints the crates that are in the pinner as a CycloneDX bill of materials: node cargo-sbom.ts <METADATA, where METADATA is what
// `cargo metadata --locked --format-version 1 --filter-platform TRIPLE` prints. https://cyclonedx.org/docs/1.6/json/
import { json } from 'node:stream/consumers';

interface Metadata {
  readonly packages: readonly {
    readonly id: string;
    readonly name: string;
    readonly version: string;
    readonly license: string | null;
  }[];
  readonly resolve: {
    readonly root: string;
    readonly nodes: readonly {
      readonly id: string;
      readonly deps: readonly {
        readonly pkg: string;
        readonly dep_kinds: readonly { readonly kind: string | null }[];
      }[];
    }[];
  };
}

const { packages, resolve } = (await json(process.stdin)) as Metadata;
const nodes = new Map(resolve.nodes.map((node) => [node.id, node]));
const included = new Set<string>();
const queue = [resolve.root];
for (let id = queue.pop(); id !== undefined; id = queue.pop()) {
  if (included.has(id)) continue;
  included.add(id);
  // The others are for building and for testing.
  const normal = nodes.get(id)?.deps.filter((dep) => dep.dep_kinds.some(({ kind }) => kind === null)) ?? [];
  queue.push(...normal.map(({ pkg }) => pkg));
}
const components = packages
  .filter(({ id }) => included.has(id))
  .map(({ id, name, version, license }) => ({
    type: id === resolve.root ? 'application' : 'library',
    name,
    version,
    purl: `pkg:cargo/${name}@${version}`,
    ...(license && { licenses: [{ expression: license.replaceAll(/ *\/ */g, ' OR ') }] }),
  }))
  .sort((a, b) => (a.purl < b.purl ? -1 : 1));
const [component] = components.filter(({ type }) => type === 'application');
const libraries = components.filter(({ type }) => type === 'library');
const bom = { bomFormat: 'CycloneDX', specVersion: '1.6', version: 1, metadata: { component }, components: libraries };
process.stdout.write(`${JSON.stringify(bom, null, 1)}\n`);
