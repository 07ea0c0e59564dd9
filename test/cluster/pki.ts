import { access, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { NODE_ADDRESS, NODE_NAME } from './node.ts';

/** Where the node finds certificates, keys and kubeconfigs. */
export const PKI = '/run/cluster/pki';

export const API_SERVER_URL = `https://${NODE_ADDRESS}:6443`;
/** The service range, whose first address is the API server's. */
export const SERVICE_RANGE = '10.96.0.0/16';
const API_SERVICE = '10.96.0.1';

interface Certificate {
  readonly name: string;
  readonly issuer: string;
  /** In openssl's format: /O=group/CN=user. */
  readonly subject: string;
  /** A server's names; a certificate without is a client's. */
  readonly names?: readonly string[];
}

const SERVICE_NAMES = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc'];

const CERTIFICATES: readonly Certificate[] = [
  {
    name: 'kube-apiserver',
    issuer: 'ca',
    subject: '/CN=kube-apiserver',
    names: [...SERVICE_NAMES.map((name) => `DNS:${name}`), `IP:${API_SERVICE}`, `IP:${NODE_ADDRESS}`, 'IP:127.0.0.1'],
  },
  {
    name: 'kubelet-server',
    issuer: 'ca',
    subject: `/CN=${NODE_NAME}`,
    names: [`DNS:${NODE_NAME}`, `IP:${NODE_ADDRESS}`],
  },
  { name: 'kubelet-client', issuer: 'ca', subject: '/O=system:masters/CN=kube-apiserver-kubelet-client' },
  { name: 'front-proxy-client', issuer: 'front-proxy-ca', subject: '/CN=front-proxy-client' },
];

// Each gets a kubeconfig.
const USERS: readonly Certificate[] = [
  { name: 'admin', issuer: 'ca', subject: '/O=system:masters/CN=admin' },
  { name: 'kubelet', issuer: 'ca', subject: `/O=system:nodes/CN=system:node:${NODE_NAME}` },
  { name: 'kube-controller-manager', issuer: 'ca', subject: '/CN=system:kube-controller-manager' },
  { name: 'kube-scheduler', issuer: 'ca', subject: '/CN=system:kube-scheduler' },
  { name: 'kube-proxy', issuer: 'ca', subject: '/CN=system:kube-proxy' },
];

/**
 * Creates the cluster's authorities, certificates, service account key and self-contained kubeconfigs (`<user>.kubeconfig`) in
 * a directory, unless they exist: so tokens and pods of an earlier run stay valid.
 */
export async function makePki(directory: string): Promise<void> {
  const complete = join(directory, 'complete');
  if (
    await access(complete).then(
      () => true,
      () => false,
    )
  )
    return;
  await mkdir(directory, { recursive: true });
  // Keeps the machine's own openssl.cnf out of it.
  await writeFile(join(directory, 'openssl.cnf'), '[req]\ndistinguished_name = empty\n[empty]\n');
  const openssl = (...args: string[]) => execa('openssl', args, { cwd: directory });
  for (const name of ['ca', 'front-proxy-ca']) {
    await openssl(...request(name, `/CN=${name}`), '-addext', 'basicConstraints=critical,CA:TRUE');
  }
  await openssl('genrsa', '-out', 'service-account.key', '2048');
  for (const certificate of [...CERTIFICATES, ...USERS]) {
    const { name, issuer, subject, names } = certificate;
    const extensions = names
      ? ['extendedKeyUsage=serverAuth', `subjectAltName=${names}`]
      : ['extendedKeyUsage=clientAuth'];
    await openssl(
      ...[...request(name, subject), '-CA', `${issuer}.crt`, '-CAkey', `${issuer}.key`],
      ...['basicConstraints=critical,CA:FALSE', ...extensions].flatMap((extension) => ['-addext', extension]),
    );
  }
  for (const { name } of USERS)
    await writeFile(join(directory, `${name}.kubeconfig`), await kubeconfig(directory, name));
  await writeFile(complete, '');
}

function request(name: string, subject: string): readonly string[] {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-noenc', '-keyout', `${name}.key`];
  return ['req', '-x509', '-config', 'openssl.cnf', '-days', '365', ...key, '-out', `${name}.crt`, '-subj', subject];
}

async function kubeconfig(directory: string, user: string): Promise<string> {
  const base64 = (file: string) => readFile(join(directory, file), 'base64');
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      { name: 'cluster', cluster: { server: API_SERVER_URL, 'certificate-authority-data': await base64('ca.crt') } },
    ],
    users: [
      {
        name: user,
        user: {
          'client-certificate-data': await base64(`${user}.crt`),
          'client-key-data': await base64(`${user}.key`),
        },
      },
    ],
    contexts: [{ name: 'cluster', context: { cluster: 'cluster', user } }],
    'current-context': 'cluster',
  });
}
