import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { execa } from 'execa';
import { createKubernetesClient, type KubernetesClient } from '../../src/kubernetes/client.ts';
import { loadKubeconfig } from '../../src/kubernetes/kubeconfig.ts';
import { type KubernetesObject, resourcePath } from '../../src/kubernetes/resource.ts';
import { createTransport } from '../../src/kubernetes/transport.ts';
import { eventually, Hopeless } from '../cluster/eventually.ts';
import { logTail } from '../cluster/log.ts';
import { BIN } from '../cluster/node.ts';
import { makePki } from '../cluster/pki.ts';
import { configOf } from './kube-config.ts';

/** A real API server with its etcd, on loopback, without the rest of a cluster. They end with this process, however it ends. */
export interface ApiServer {
  readonly directory: string;
  readonly port: number;
  /** The administrator's. */
  readonly kubeconfig: string;
  readonly admin: KubernetesClient;
  /** Of the API server's process, which `start` replaces. */
  pid(): number;
  /** Makes a service account with the `rules` of a ClusterRole, and returns a client that acts as it. `by`: another port. */
  clientFor(name: string, rules: readonly object[], by?: number): Promise<KubernetesClient>;
  /** Runs kubectl as the administrator and returns its output. Throws if it fails. */
  kubectl(args: readonly string[], input?: string): Promise<string>;
  /** Applies objects as kubectl does, but much faster. Throws the API server's error. */
  apply(...objects: readonly object[]): Promise<void>;
  /** Ends the API server with SIGKILL. */
  kill(): Promise<void>;
  /** Starts it again with its state in etcd. */
  start(): Promise<void>;
  /** Stops the API server's process or lets it continue: meanwhile it does not answer, but no connection breaks. */
  freeze(frozen: boolean): Promise<void>;
  /** Makes etcd forget older revisions: after a restart of the API server, a watch from there gets 410 Gone. */
  compact(): Promise<void>;
  /** Empties etcd: no objects, and revisions start at 1. */
  forget(): Promise<void>;
  stop(): Promise<void>;
}

/** Needs what test/cluster/build.sh builds. `flags`: for kube-apiserver. */
export async function startApiServer(flags: readonly string[] = []): Promise<ApiServer> {
  const directory = await mkdtemp(join(tmpdir(), 'csi-driver-bpffs-apiserver-'));
  const pki = join(directory, 'pki');
  await makePki(pki);
  const [port, client, peer] = await freePorts();
  const kubeconfig = join(directory, 'admin.kubeconfig');
  await writeFile(kubeconfig, withServer(await readFile(join(pki, 'admin.kubeconfig'), 'utf8'), port));
  const run = async (name: string, args: readonly string[]) => {
    const log = await open(join(directory, `${name}.log`), 'a');
    // The API server and etcd end with this process.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', join(BIN, name), ...args], {
      stdio: ['ignore', log.fd, log.fd],
    });
    child.once('exit', () => log.close());
    return child;
  };
  const etcdUrl = `http://127.0.0.1:${client}`;
  const data = join(directory, 'etcd');
  const startEtcd = () =>
    run('etcd', [
      `--data-dir=${data}`,
      ...[`--listen-client-urls=${etcdUrl}`, `--advertise-client-urls=${etcdUrl}`],
      ...[`--listen-peer-urls=http://127.0.0.1:${peer}`, '--unsafe-no-fsync'],
    ]);
  const startApi = () =>
    run('kube-apiserver', [
      ...[`--etcd-servers=${etcdUrl}`, '--bind-address=127.0.0.1', '--advertise-address=127.0.0.1'],
      ...[`--secure-port=${port}`, '--service-cluster-ip-range=10.96.0.0/16', `--client-ca-file=${pki}/ca.crt`],
      ...[`--tls-cert-file=${pki}/kube-apiserver.crt`, `--tls-private-key-file=${pki}/kube-apiserver.key`],
      ...['--service-account-issuer=https://kubernetes.default.svc', '--authorization-mode=Node,RBAC'],
      ...[`--service-account-key-file=${pki}/service-account.key`],
      ...[
        `--service-account-signing-key-file=${pki}/service-account.key`,
        '--disable-admission-plugins=ServiceAccount',
      ],
      ...flags,
    ]);
  let etcd: ChildProcess = await startEtcd();
  let api: ChildProcess = await startApi();
  const config = loadKubeconfig(kubeconfig);
  const transport = createTransport(config);
  const admin = createKubernetesClient(config);
  const clients: { close(): void }[] = [transport, admin];

  const kubectl = async (args: readonly string[], input?: string) => {
    const { stdout } = await execa(join(BIN, 'kubectl'), [`--kubeconfig=${kubeconfig}`, ...args], {
      env: { KUBECACHEDIR: join(directory, 'cache'), KUBERC: 'off' },
      ...(input !== undefined && { input }),
    });
    return stdout;
  };
  const ready = () =>
    eventually('the API server is ready', 60, async () => {
      if (api.exitCode !== null) throw new Hopeless(await logTail(join(directory, 'kube-apiserver.log')));
      await kubectl(['get', '--raw=/readyz']);
      await kubectl(['get', 'namespace', 'default']);
      return true;
    });
  const apply = async (...objects: readonly object[]) => {
    for (const body of objects) {
      const request = {
        method: 'PATCH',
        path: applyPath(body as Manifest),
        contentType: 'application/apply-patch+yaml',
      };
      const answer = await transport.send({ ...request, body }, AbortSignal.timeout(10_000));
      const { message } = (await json(answer)) as { message?: string };
      if ((answer.statusCode ?? 0) > 299) throw new Error(`${answer.statusCode} ${message}`);
    }
  };
  const server: ApiServer = {
    directory,
    port,
    kubeconfig,
    admin,
    pid: () => api.pid ?? 0,
    kubectl,
    apply,
    async clientFor(name, rules, by = port) {
      const namespace = 'kube-system';
      const rbac = { apiVersion: 'rbac.authorization.k8s.io/v1', metadata: { name } };
      await apply(
        { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace } },
        { ...rbac, kind: 'ClusterRole', rules },
        {
          ...rbac,
          kind: 'ClusterRoleBinding',
          roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
          subjects: [{ kind: 'ServiceAccount', name, namespace }],
        },
      );
      const token = await kubectl(['create', 'token', name, `--namespace=${namespace}`]);
      const ca = await readFile(join(pki, 'ca.crt'), 'utf8');
      const client = createKubernetesClient(configOf(by, { ca, token }));
      clients.push(client);
      return client;
    },
    kill: () => end(api),
    async start() {
      api = await startApi();
      await ready();
    },
    async freeze(frozen) {
      api.kill(frozen ? 'SIGSTOP' : 'SIGCONT');
      if (frozen) await eventually('the API server has stopped', 10, () => isStopped(api.pid ?? 0));
    },
    async compact() {
      const post = async (path: string, body: object) => {
        const response = await fetch(`${etcdUrl}/v3/kv/${path}`, { method: 'POST', body: JSON.stringify(body) });
        return (await response.json()) as { header: { revision: string } };
      };
      const { header } = await post('range', { key: 'AA==' });
      await post('compaction', { revision: header.revision, physical: true });
    },
    async forget() {
      await end(api);
      await end(etcd);
      await rm(data, { recursive: true });
      etcd = await startEtcd();
      await server.start();
    },
    async stop() {
      for (const client of clients) client.close();
      await end(api);
      await end(etcd);
      await rm(directory, { recursive: true, force: true });
    },
  };
  try {
    await ready();
    return server;
  } catch (error) {
    await server.stop();
    throw error;
  }
}

interface Manifest extends Pick<KubernetesObject, 'metadata'> {
  readonly apiVersion: string;
  readonly kind: string;
}

/** For kinds whose plural is regular. */
function applyPath({ apiVersion, kind, metadata }: Manifest): string {
  const [version = '', group = ''] = apiVersion.split('/').reverse();
  const path = resourcePath({ group, version, plural: `${kind.toLowerCase()}s` }, metadata);
  return `${path}?fieldManager=test&force=true&fieldValidation=Strict`;
}

/** Whether all threads are. The kernel stops one after the other, and the last ones still answer requests. */
async function isStopped(pid: number): Promise<boolean> {
  const tasks = `/proc/${pid}/task`;
  const states = await Promise.all((await readdir(tasks)).map((task) => readFile(`${tasks}/${task}/stat`, 'utf8')));
  return states.every((state) => /\) T /.test(state));
}

/** Kills a process with SIGKILL and waits until it has ended. */
export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

function withServer(kubeconfig: string, port: number): string {
  const config = JSON.parse(kubeconfig);
  config.clusters[0].cluster.server = `https://127.0.0.1:${port}`;
  return JSON.stringify(config);
}

async function freePorts(): Promise<[number, number, number]> {
  const listen = async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return server;
  };
  const servers = [await listen(), await listen(), await listen()] as const;
  const close = async (server: Server) => {
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    return port;
  };
  return [await close(servers[0]), await close(servers[1]), await close(servers[2])];
}
