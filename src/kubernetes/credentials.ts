import { readFileSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import type { KubeConfig } from '@kubernetes/client-node';
import { BadConfiguration, type CallError, unavailable } from '../errors.ts';

/** The name of the way to authenticate that `useTokenFile` adds. */
const TOKEN_FILE = 'token-file-of-each-request';

/**
 * Has the current user of `config` show the token that lies in a file when it asks, in place of any other. client-node itself goes on for
 * a minute with a token that it has read, and does not know the `tokenFile` of a kubeconfig.
 */
export function useTokenFile(config: KubeConfig, file: string): void {
  const name = config.getCurrentUser()?.name;
  const authProvider = { name: TOKEN_FILE, config: { file } };
  config.users = config.users.map(({ token, ...user }) =>
    user.name === name ? { ...user, authProvider } : { ...user, ...(token !== undefined && { token }) },
  );
  config.addAuthenticator({
    isAuthProvider: (user) => user.authProvider?.name === TOKEN_FILE,
    async applyAuthentication(_, options) {
      options.headers = { ...options.headers, authorization: `Bearer ${readFileSync(file, 'utf8').trim()}` };
    },
  });
}

/** Throws BadConfiguration unless each file that `config` names for its current cluster and user can be read. */
export function requireFiles(config: KubeConfig): void {
  const { certFile, keyFile, authProvider } = config.getCurrentUser() ?? {};
  try {
    for (const file of [config.getCurrentCluster()?.caFile, certFile, keyFile, authProvider?.config?.file]) {
      if (file) readFileSync(file);
    }
  } catch (error) {
    throw new BadConfiguration([unreadable(error).message]);
  }
}

/**
 * How to reach the API server, and as whom: asked for each request, because files are replaced while they are used and tokens expire.
 * Throws UNAVAILABLE. Who asks while another waits gets the same answer: a command that hangs is run once.
 */
export function credentialsOf(config: KubeConfig): () => Promise<RequestOptions> {
  let asked: Promise<RequestOptions> | undefined;
  async function ask(): Promise<RequestOptions> {
    const options: RequestOptions = {};
    try {
      await config.applyToHTTPSOptions(options);
      return options;
    } catch (error) {
      throw unreadable(error);
    } finally {
      asked = undefined;
    }
  }
  return () => {
    asked ??= ask();
    return asked;
  };
}

function unreadable(error: unknown): CallError {
  // A parser quotes what it cannot parse, and that may be a token.
  const why = error instanceof SyntaxError ? 'what was given for them is no JSON' : (error as Error).message.trim();
  return unavailable(`cannot read the credentials for the API server: ${why}`);
}
