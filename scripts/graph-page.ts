// Bundles what the browser runs and shows of `kubectl bpffs graph`, as texts that src/kubectl/graph/page.ts puts into its page.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { build } from 'esbuild';

const BROWSER = 'src/kubectl/graph/browser';
const OUT = 'src/kubectl/graph/generated';

async function bundled(file: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [`${BROWSER}/${file}`],
    bundle: true,
    format: 'iife',
    // What Map.groupBy and prefers-color-scheme need.
    target: ['chrome117', 'firefox119', 'safari17.4'],
    minify: true,
    charset: 'ascii',
    write: false,
    logLevel: 'warning',
  });
  return outputFiles[0]?.text ?? '';
}

const page = {
  body: await readFile(`${BROWSER}/body.html`, 'utf8'),
  style: await bundled('page.css'),
  script: await bundled('main.ts'),
};
await mkdir(OUT, { recursive: true });
await writeFile(`${OUT}/page.json`, JSON.stringify(page));
