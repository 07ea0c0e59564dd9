import { basename, dirname } from 'node:path';
import { type BuildOptions, build, type Plugin } from 'esbuild';

/** In a resolution that a plugin here asks for itself. */
const ASKED = { asked: true };
/** Of modules that stand for those that are loaded on use. */
const ON_USE = 'on-use';

/**
 * Takes from @kubernetes/client-node what is used of it, and loads that as fast as can be: without, measured, a start in a cluster takes
 * half as long again, and a node plugin 5 MB more. Undici, nearly half of all JavaScript, gets a file of its own, by the same options.
 */
export function clientNode(options: BuildOptions): Plugin {
  return {
    name: 'client-node',
    setup(outer) {
      // In a build of its own: a module that is loaded only where it is needed, as those of the commands are, keeps all that it imports.
      outer.onLoad({ filter: /\/@kubernetes\/client-node\/dist\/index\.js$/ }, async ({ path }) => {
        const resolveDir = dirname(path);
        const { outputFiles } = await build({
          // A build that imports another of its names fails.
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

      // They are there whole, and are loaded once client-node itself makes an HTTP request, which it does not (see transport.ts), or a way
      // through a SOCKS proxy.
      outer.onResolve({ filter: /^(undici|socks|socks-proxy-agent)$/ }, async ({ path, pluginData, ...where }) => {
        if (pluginData === ASKED) return undefined;
        const resolved = await outer.resolve(path, { ...where, pluginData: ASKED });
        return { path, namespace: ON_USE, pluginData: resolved.path };
      });
      outer.onLoad({ filter: /.*/, namespace: ON_USE }, async ({ path, pluginData: file }) => {
        if (path === 'undici') await build({ ...options, entryPoints: [file], outfile: 'dist/undici.cjs' });
        const required = path === 'undici' ? './undici.cjs' : `./${basename(file)}`;
        const names = Object.keys(await import(file)).filter((name) => /^\w+$/.test(name) && name !== 'default');
        const getters = names.map((name) => `get ${name}() { return require('${required}').${name}; }`);
        return { contents: `module.exports = {\n${getters.join(',\n')}\n};`, resolveDir: dirname(file) };
      });
      outer.onResolve({ filter: /^\.\/undici\.cjs$/, namespace: ON_USE }, ({ path }) => ({ path, external: true }));
    },
  };
}

/**
 * Its package does not say that none of its modules does anything when it is loaded; the one that does fills in for Node 18. With that
 * said, the models and clients of all kinds of objects are left out.
 */
const withoutSideEffects: Plugin = {
  name: 'without-side-effects',
  setup({ onResolve, resolve }) {
    onResolve({ filter: /^\./ }, async ({ path, pluginData, ...where }) =>
      pluginData === ASKED
        ? undefined
        : { ...(await resolve(path, { ...where, pluginData: ASKED })), sideEffects: false },
    );
  },
};
