import { readFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import { BadConfiguration, unavailable } from '../errors.ts';

/** Where the API server is, and as whom to speak to it. */
export interface Connection {
  readonly host: string;
  readonly port: number;
  /** Before every path; '' as a rule. */
  readonly basePath: string;
  /** Asked for every request, because tokens and authorities are replaced while they are used. Throws UNAVAILABLE. */
  credentials(): Credentials;
}

/** Either a token or a client certificate says who asks. */
export interface Credentials {
  /** PEM; undefined: the authorities that Node knows. */
  readonly ca?: string;
  readonly token?: string;
  /** PEM. */
  readonly certificate?: { readonly cert: string; readonly key: string };
  /** The name in the server's certificate, where it is not its address. */
  readonly serverName?: string;
}

/** Where the API server is for pods: a service of the cluster. `host` may be an IPv6 address, without brackets. */
export interface KubernetesService {
  readonly host: string;
  readonly port: number;
}

/** Where Kubernetes puts a pod's service account. */
const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** As the service account of the pod that this process runs in. Throws BadConfiguration if the pod has none. */
export function inClusterConnection({ host, port }: KubernetesService, directory = SERVICE_ACCOUNT): Connection {
  const credentials = () => ({
    ca: readCredential(join(directory, 'ca.crt')),
    token: readCredential(join(directory, 'token')),
  });
  tryCredentials(credentials);
  return { host: isIPv6(host) ? `[${host}]` : host, port, basePath: '', credentials };
}

/** Throws BadConfiguration if there are none at the start. */
export function tryCredentials(credentials: () => Credentials): Credentials {
  try {
    return credentials();
  } catch (error) {
    throw new BadConfiguration([(error as Error).message]);
  }
}

/** A credential that lies in a file now. Throws UNAVAILABLE. */
export function readCredential(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw unavailable(`cannot read the credentials for the API server: ${(error as Error).message}`, error);
  }
}
