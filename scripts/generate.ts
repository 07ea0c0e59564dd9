// Generates from each .proto file a descriptor in JSON, so that nothing is parsed at start, and types, which are right only for
// proto-loader's options in src/rpc/proto-options.ts.
import { writeFile } from 'node:fs/promises';
import { execa } from 'execa';
import protobuf from 'protobufjs';
// Adds the files of google/protobuf that protobufjs does not know by itself.
import '@grpc/proto-loader';
import { PROTO_OPTIONS } from '../src/rpc/proto-options.ts';

const OUT = 'src/rpc/generated';
const FILES = ['pinner', 'registration', 'csi'];

/** Anything named in a .proto file, in protobufjs's JSON. */
interface Descriptor {
  readonly nested?: Record<string, Descriptor>;
  readonly fields?: Readonly<Record<string, { readonly type: string }>>;
  readonly extend?: string;
}

/** Replaces field types by their full names, ".csi.v1.Volume", so that nothing has to search for them at run time. */
function nameTypes(namespace: protobuf.NamespaceBase): void {
  for (const one of namespace.nestedArray) {
    if (one instanceof protobuf.Type)
      for (const field of one.fieldsArray) field.type = field.resolvedType?.fullName ?? field.type;
    if (one instanceof protobuf.Namespace) nameTypes(one);
  }
}

/** The names of all types of fields. */
function* typesIn({ nested = {}, fields = {} }: Descriptor): Generator<string> {
  for (const { type } of Object.values(fields)) yield type;
  for (const one of Object.values(nested)) yield* typesIn(one);
}

/** Removes what is not needed at run time: extensions of descriptors, and those of Google's types that no field has. */
function prune({ nested = {} }: Descriptor, used: ReadonlySet<string>, path = ''): void {
  for (const [name, one] of Object.entries(nested)) {
    const isUnused = path === 'google.protobuf.' && !used.has(`.${path}${name}`);
    if (one.extend !== undefined || isUnused) delete nested[name];
    else prune(one, used, `${path}${name}.`);
  }
}

const options = Object.entries(PROTO_OPTIONS).map(([name, value]) =>
  typeof value === 'function' ? `--${name}=${value.name}` : `--${name}=${value}`,
);
// The plain name is the type of a decoded message.
const names = ['--inputTemplate=%s__Input', '--outputTemplate=%s', '--importFileExtension=.ts', '--includeComments'];
const files = FILES.map((file) => `proto/${file}.proto`);
await execa(
  'node_modules/.bin/proto-loader-gen-types',
  [...options, ...names, `--outDir=${OUT}`, '--grpcLib=@grpc/grpc-js', ...files],
  { stdio: 'inherit' },
);

// Last, because one of these is make's target for everything that is generated here.
for (const file of FILES) {
  const root = await new protobuf.Root().load(`proto/${file}.proto`);
  root.resolveAll();
  nameTypes(root);
  const descriptor = root.toJSON() as Descriptor;
  const ours = {
    nested: Object.fromEntries(Object.entries(descriptor.nested ?? {}).filter(([name]) => name !== 'google')),
  };
  prune(descriptor, new Set(typesIn(ours)));
  await writeFile(`${OUT}/${file}.json`, `${JSON.stringify(descriptor, undefined, 1)}\n`);
}
