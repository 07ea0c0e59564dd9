import { type BuildOptions, build } from 'esbuild';
import { clientNode } from './client-node.ts';

// One CommonJS file, but for what is hardly ever needed: a module graph on disk costs several times the start-up time and
// memory of a bundle. Identifiers stay readable, so that a stack trace from a node in the field can be read without the
// source map.
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
  plugins: [clientNode(bundled)],
});
