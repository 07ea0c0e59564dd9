import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import * as z from 'zod/mini';
import { BadConfiguration } from '../errors.ts';
import { parseManifests } from '../manifest/manifest.ts';
import { type Connection, type Credentials, readCredential, tryCredentials } from './connection.ts';

const text = z.optional(z.string());

const clusterSchema = z.looseObject({
  server: z.string(),
  'certificate-authority': text,
  'certificate-authority-data': text,
  'tls-server-name': text,
});

const userSchema = z.looseObject({
  token: text,
  tokenFile: text,
  'client-certificate': text,
  'client-certificate-data': text,
  'client-key': text,
  'client-key-data': text,
});

const kubeconfigSchema = z.object({
  'current-context': z.string(),
  contexts: z.array(z.object({ name: z.string(), context: z.object({ cluster: z.string(), user: z.string() }) })),
  clusters: z.array(z.object({ name: z.string(), cluster: clusterSchema })),
  users: z.array(z.object({ name: z.string(), user: userSchema })),
});

/** What is in such a file and changes nothing here. */
const HARMLESS = ['extensions', 'disable-compression'];

/**
 * As the current context of a kubeconfig file says, by a token or a client certificate. Files that it names are relative to
 * it and read for each request; a tokenFile goes before a token. Throws BadConfiguration, also for what is
 * not done here and would make it another connection: commands that fetch credentials (exec), impersonation (as), proxies.
 * https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
 */
export function kubeconfigConnection(file: string): Connection {
  const config = parse(file);
  const bad = (problem: string) => new BadConfiguration([`${file}: ${problem}`]);
  const current = config['current-context'];
  const context = config.contexts.find(({ name }) => name === current)?.context;
  if (context === undefined) throw bad(`current-context: there is no context "${current}"`);
  const cluster = config.clusters.find(({ name }) => name === context.cluster)?.cluster;
  if (cluster === undefined) throw bad(`there is no cluster "${context.cluster}"`);
  const user = config.users.find(({ name }) => name === context.user)?.user;
  if (user === undefined) throw bad(`there is no user "${context.user}"`);
  for (const [what, given, known] of [
    [`cluster "${context.cluster}"`, cluster, clusterSchema],
    [`user "${context.user}"`, user, userSchema],
  ] as const) {
    const foreign = Object.keys(given).find((key) => !Object.hasOwn(known.shape, key) && !HARMLESS.includes(key));
    if (foreign !== undefined) throw bad(`${what}: ${foreign} is not supported`);
  }
  const server = URL.parse(cluster.server);
  if (server?.protocol !== 'https:') throw bad(`cluster.server: "${cluster.server}" is no https URL`);

  const from = (data: string | undefined, path: string | undefined) => {
    if (data !== undefined) return Buffer.from(data, 'base64').toString('utf8');
    return path === undefined ? undefined : readCredential(resolve(dirname(file), path));
  };
  const credentials = (): Credentials => {
    const ca = from(cluster['certificate-authority-data'], cluster['certificate-authority']);
    const token = from(undefined, user.tokenFile) ?? user.token;
    const cert = from(user['client-certificate-data'], user['client-certificate']);
    const key = from(user['client-key-data'], user['client-key']);
    const serverName = cluster['tls-server-name'];
    return {
      ...(ca !== undefined && { ca }),
      ...(token !== undefined && { token }),
      ...(cert !== undefined && key !== undefined && { certificate: { cert, key } }),
      ...(serverName !== undefined && { serverName }),
    };
  };
  const { token, certificate } = tryCredentials(credentials);
  if (token === undefined && certificate === undefined) {
    throw bad(`user "${context.user}" has neither a token nor a client certificate with its key`);
  }
  return {
    host: server.hostname,
    port: Number(server.port || 443),
    basePath: server.pathname.replace(/\/$/, ''),
    credentials,
  };
}

function parse(file: string): z.infer<typeof kubeconfigSchema> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new BadConfiguration([`cannot read ${file}: ${(error as Error).message}`]);
  }
  const [manifest] = parseManifests(text, file, kubeconfigSchema);
  if (manifest === undefined) throw new BadConfiguration([`${file}: it is empty`]);
  return manifest.value;
}
