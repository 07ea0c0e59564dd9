import { readFileSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import type { KubeConfig } from '@kubernetes/client-node';
import { BadConfiguration, type CallError, unavailable } from '../errors.ts';

/** The name of the authenticator that `useTokenFile` adds. */
const TOKEN_FILE = 'token-file-of-each-request';

/**
 * Makes the current user of `config` authenticate with the token in a file, which is read for each request. client-node itself keeps using
 * a token for a minute after reading it, and does not know the `tokenFile` of a kubeconfig.
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

/** Throws BadConfiguration unless every file that `config` names for its current cluster and user can be read. */
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
 * Returns a function that gets the TLS options and credentials. It must be called for each request, because files are replaced and tokens
 * expire. It throws UNAVAILABLE. Concurrent callers share one result, so that a command that hangs runs only once.
 */
export function credentialsOf(config: KubeConfig): () => Promise<RequestOptions> {
  let pending: Promise<RequestOptions> | undefined;
  async function ask(): Promise<RequestOptions> {
    const options: RequestOptions = {};
    try {
      await config.applyToHTTPSOptions(options);
      return options;
    } catch (error) {
      throw unreadable(error);
    } finally {
      pending = undefined;
    }
  }
  return () => {
    pending ??= ask();
    return pending;
  };
}

function unreadable(error: unknown): CallError {
  // A parser quotes invalid input, which may be a token.
  const why = error instanceof SyntaxError ? 'what was given for them is no JSON' : (error as Error).message.trim();
  return unavailable(`cannot read the credentials for the API server: ${why}`);
}
