import { build } from 'esbuild';

// One CommonJS file: a module graph on disk costs several times the start-up time and memory of a bundle. Identifiers stay
// readable, so that a stack trace from a node in the field can be read without the source map.
await build({
  entryPoints: ['src/main.ts'],
  outfile: 'dist/csi-driver-bpffs.cjs',
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node26',
  // Only gRPC's channelz and ORCA services, which are not served, would load it; it is a seventh of the bundle.
  external: ['@grpc/proto-loader'],
  minifySyntax: true,
  minifyWhitespace: true,
  sourcemap: 'external',
  legalComments: 'linked',
  logLevel: 'warning',
});
