import { readFileSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import type { KubeConfig } from '@kubernetes/client-node';
import { BadConfiguration, type CallError, unavailable } from '../errors.ts';

/** Name of the way to authenticate that `useTokenFile` adds. */
const TOKEN_FILE = 'token-file-of-each-request';

/**
 * Has the current user of `config` show the token that lies in a file when it asks. client-node's own way to read one goes on for a minute
 * with what it read before, and does not know the `tokenFile` of a kubeconfig.
 */
export function useTokenFile(config: KubeConfig, file: string): void {
  const name = config.getCurrentUser()?.name;
  config.users = config.users.map((user) => {
    if (user.name !== name) return user;
    // client-node shows the token before any other.
    const { token: _, ...others } = user;
    return { ...others, authProvider: { name: TOKEN_FILE, config: { file } } };
  });
  config.addAuthenticator({
    isAuthProvider: (user) => user.authProvider?.name === TOKEN_FILE,
    async applyAuthentication(user, options) {
      const token = readFileSync(user.authProvider.config.file, 'utf8').trim();
      options.headers = { ...options.headers, authorization: `Bearer ${token}` };
    },
  });
}

/** Throws BadConfiguration unless each file that `config` names for its current cluster and user can be read. */
export function requireFiles(config: KubeConfig): void {
  const { caFile } = config.getCurrentCluster() ?? {};
  const { certFile, keyFile, authProvider } = config.getCurrentUser() ?? {};
  const tokenFile = authProvider?.name === TOKEN_FILE ? authProvider.config.file : undefined;
  for (const file of [caFile, certFile, keyFile, tokenFile]) {
    try {
      if (file) readFileSync(file);
    } catch (error) {
      throw new BadConfiguration([unreadable(error).message]);
    }
  }
}

/**
 * How to reach the API server, and as whom: asked for each request, because files are replaced while they are used and tokens expire.
 * Throws UNAVAILABLE. Who asks while another waits gets the same answer: a command that hangs is run once.
 */
export function credentialsOf(config: KubeConfig): () => Promise<RequestOptions> {
  let asked: Promise<RequestOptions> | undefined;
  const ask = async () => {
    const options: RequestOptions = {};
    try {
      await config.applyToHTTPSOptions(options);
      return options;
    } catch (error) {
      throw unreadable(error);
    } finally {
      asked = undefined;
    }
  };
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
