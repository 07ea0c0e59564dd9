import { basename, dirname } from 'node:path';
import { type BuildOptions, build, type Plugin } from 'esbuild';

/** Marks resolutions that a plugin here has requested itself. */
const OWN_REQUEST = { ownRequest: true };
/** The namespace of stand-ins for modules that are loaded at first use. */
const ON_USE = 'on-use';

/**
 * Bundles only what is used of @kubernetes/client-node, so that it loads fast: without this, as measured, a start in a cluster takes half
 * as long again, and a node plugin 5 MB more. Undici, nearly half of all JavaScript, is loaded at first use: from a file of its own, built
 * with the same options, or with `inOneFile` from the bundle itself.
 */
export function clientNode(options: BuildOptions, { inOneFile }: { readonly inOneFile: boolean }): Plugin {
  return {
    name: 'client-node',
    setup(outer) {
      // In a separate build: a module that is imported dynamically, as those of the commands are, keeps everything that it imports.
      outer.onLoad({ filter: /\/@kubernetes\/client-node\/dist\/index\.js$/ }, async ({ path }) => {
        const resolveDir = dirname(path);
        const { outputFiles } = await build({
          // Importing any other of its names fails the build.
          stdin: { contents: "export { KubeConfig } from './index.js';", resolveDir },
          bundle: true,
          packages: 'external',
          platform: 'node',
          format: 'esm',
          sourcemap: 'inline',
          write: false,
          plugins: [withoutSideEffects],
        });
        return { contents: outputFiles[0]?.contents ?? '', resolveDir };
      });

      // Included as a whole, but loaded only when client-node itself makes an HTTP request, which it does not (see transport.ts), or for a
      // SOCKS proxy.
      outer.onResolve({ filter: /^(undici|socks|socks-proxy-agent)$/ }, async ({ path, pluginData, ...where }) => {
        if (pluginData === OWN_REQUEST) return undefined;
        const resolved = await outer.resolve(path, { ...where, pluginData: OWN_REQUEST });
        return { path, namespace: ON_USE, pluginData: resolved.path };
      });
      outer.onLoad({ filter: /.*/, namespace: ON_USE }, async ({ path, pluginData: file }) => {
        const isApart = path === 'undici' && !inOneFile;
        if (isApart) await build({ ...options, entryPoints: [file], outfile: 'dist/undici.cjs' });
        const required = isApart ? './undici.cjs' : `./${basename(file)}`;
        const names = Object.keys(await import(file)).filter((name) => /^\w+$/.test(name) && name !== 'default');
        const getters = names.map((name) => `get ${name}() { return require('${required}').${name}; }`);
        return { contents: `module.exports = {\n${getters.join(',\n')}\n};`, resolveDir: dirname(file) };
      });
      outer.onResolve({ filter: /^\.\/undici\.cjs$/, namespace: ON_USE }, ({ path }) => ({ path, external: true }));
    },
  };
}

/**
 * client-node's package does not declare that its modules have no side effects; the only one that has is a polyfill for Node 18. With this
 * declaration the models and clients of all kinds of objects are left out.
 */
const withoutSideEffects: Plugin = {
  name: 'without-side-effects',
  setup({ onResolve, resolve }) {
    onResolve({ filter: /^\./ }, async ({ path, pluginData, ...where }) =>
      pluginData === OWN_REQUEST
        ? undefined
        : { ...(await resolve(path, { ...where, pluginData: OWN_REQUEST })), sideEffects: false },
    );
  },
};
