import { type BuildOptions, build } from 'esbuild';
import { clientNode } from './client-node.ts';
import { protoLoader } from './proto-loader.ts';

// One CommonJS file, except for code that is rarely needed: a module graph on disk costs several times the start-up time and memory of a
// bundle. Identifiers stay readable, so that stack traces from the field need no source map.
const bundled: BuildOptions = {
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node26',
  minifySyntax: true,
  minifyWhitespace: true,
  sourcemap: 'external',
  legalComments: 'eof',
  logLevel: 'warning',
};
await build({
  ...bundled,
  entryPoints: ['src/main.ts'],
  outfile: 'dist/csi-driver-bpffs.cjs',
  plugins: [clientNode(bundled, { inOneFile: false }), protoLoader],
});
// The plugin of kubectl: one file, because it becomes a single executable.
await build({
  ...bundled,
  entryPoints: ['src/kubectl/main.ts'],
  outfile: 'dist/kubectl/kubectl-bpffs.cjs',
  plugins: [clientNode(bundled, { inOneFile: true }), protoLoader],
});
