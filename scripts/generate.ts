// Makes of each .proto file what the driver has of it: a descriptor in JSON, so that nothing is parsed at start, and types.
// proto-loader's options stand in src/rpc/proto-options.ts, for the types are right for no others.
import { writeFile } from 'node:fs/promises';
import { execa } from 'execa';
import protobuf from 'protobufjs';
// Teaches protobufjs the files of google/protobuf that it does not know by itself.
import '@grpc/proto-loader';
import { PROTO_OPTIONS } from '../src/rpc/proto-options.ts';

const OUT = 'src/rpc/generated';
const FILES = ['pinner', 'registration', 'csi'];

/** Whatever can be named in a .proto file, as protobufjs has it in JSON. */
interface Descriptor {
  readonly nested?: Record<string, Descriptor>;
  readonly fields?: Readonly<Record<string, { readonly type: string }>>;
  readonly extend?: string;
}

/** Gives the types of fields their full names, ".csi.v1.Volume", so that nobody has to look for them. */
function nameTypes(namespace: protobuf.NamespaceBase): void {
  for (const one of namespace.nestedArray) {
    if (one instanceof protobuf.Type)
      for (const field of one.fieldsArray) field.type = field.resolvedType?.fullName ?? field.type;
    if (one instanceof protobuf.Namespace) nameTypes(one);
  }
}

/** The names of all types that fields have. */
function* typesIn({ nested = {}, fields = {} }: Descriptor): Generator<string> {
  for (const { type } of Object.values(fields)) yield type;
  for (const one of Object.values(nested)) yield* typesIn(one);
}

/** Leaves out what is of no use at run time: extensions of descriptors, and those of Google's types that no field has. */
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
// A message has the shape that is decoded under its own name.
const names = ['--inputTemplate=%s__Input', '--outputTemplate=%s', '--importFileExtension=.ts', '--includeComments'];
const files = FILES.map((file) => `proto/${file}.proto`);
await execa(
  'node_modules/.bin/proto-loader-gen-types',
  [...options, ...names, `--outDir=${OUT}`, '--grpcLib=@grpc/grpc-js', ...files],
  { stdio: 'inherit' },
);

// Last, because make takes one of these for all that is made here.
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
