import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import * as z from 'zod/mini';
import { BadConfiguration } from '../errors.ts';
import { parseManifests } from '../manifest/manifest.ts';
import { requireFiles, useTokenFile } from './credentials.ts';

/** Only what is checked here; client-node parses the rest. */
const kubeconfigSchema = z.looseObject({
  'current-context': z.string(),
  clusters: z.array(z.object({ name: z.string(), cluster: z.looseObject({ server: z.string() }) })),
  users: z.array(z.object({ name: z.string(), user: z.looseObject({ tokenFile: z.optional(z.string()) }) })),
});

/** Keys that client-node uses, and keys without effect. */
const KNOWN = new Set(
  (
    'server certificate-authority certificate-authority-data tls-server-name proxy-url disable-compression extensions ' +
    'token tokenFile client-certificate client-certificate-data client-key client-key-data username password as exec auth-provider'
  ).split(' '),
);

/**
 * Loads the current context of a kubeconfig file. Files that it names are relative to it; tokenFile takes precedence over token. Throws
 * BadConfiguration, also for keys that client-node would ignore and so connect differently, and for an API server without TLS.
 * A token of OpenID Connect works until it expires: client-node refreshes it in a way that its library rejects. Use a command (exec)
 * instead.
 * https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
 */
export function loadKubeconfig(file: string): KubeConfig {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new BadConfiguration([`cannot read ${file}: ${(error as Error).message}`]);
  }
  return parseKubeconfig(text, file);
}

/** `file`: where `text` comes from, for relative paths and errors. Throws as loadKubeconfig does. */
export function parseKubeconfig(text: string, file: string): KubeConfig {
  const raw = parse(text, file);
  const bad = (problem: string) => new BadConfiguration([`${file}: ${problem}`]);
  const config = new KubeConfig();
  try {
    // As JSON, which all YAML parsers understand alike.
    config.loadFromString(JSON.stringify(raw));
  } catch (error) {
    throw bad((error as Error).message);
  }
  config.makePathsAbsolute(dirname(file));
  const context = config.getContextObject(config.currentContext);
  if (context === null) throw bad(`current-context: there is no context "${config.currentContext}"`);
  const cluster = raw.clusters.find(({ name }) => name === context.cluster)?.cluster;
  if (cluster === undefined) throw bad(`there is no cluster "${context.cluster}"`);
  const user = raw.users.find(({ name }) => name === context.user)?.user;
  if (user === undefined) throw bad(`there is no user "${context.user}"`);
  for (const [what, given] of Object.entries({
    [`cluster "${context.cluster}"`]: cluster,
    [`user "${context.user}"`]: user,
  })) {
    const foreign = Object.keys(given).find((key) => !KNOWN.has(key) && given[key] !== false);
    if (foreign !== undefined) throw bad(`${what}: ${foreign} is not supported`);
  }
  if (URL.parse(cluster.server)?.protocol !== 'https:') {
    throw bad(`cluster.server: "${cluster.server}" is no https URL`);
  }
  const proxy = config.getCurrentCluster()?.proxyUrl;
  if (proxy !== undefined && !/^(https?|socks5h?):$/.test(URL.parse(proxy)?.protocol ?? '')) {
    throw bad(`cluster "${context.cluster}": proxy-url is no URL of an HTTP or SOCKS 5 proxy`);
  }
  if (user.tokenFile !== undefined) useTokenFile(config, resolve(dirname(file), user.tokenFile));
  const { token, username, exec, authProvider, certData, certFile, keyData, keyFile } = config.getCurrentUser() ?? {};
  if (!(token || username || exec || authProvider || ((certData || certFile) && (keyData || keyFile)))) {
    throw bad(
      `user "${context.user}" has neither a token nor a client certificate with its key, nor exec or auth-provider`,
    );
  }
  requireFiles(config);
  return config;
}

function parse(text: string, file: string): z.infer<typeof kubeconfigSchema> {
  const [manifest] = parseManifests(text, file, kubeconfigSchema);
  if (manifest === undefined) throw new BadConfiguration([`${file}: it is empty`]);
  return manifest.value;
}
