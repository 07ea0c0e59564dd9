import type { Program } from './component.ts';
import { CONFIG, VOLUME_PLUGINS } from './config.ts';
import { NODE_ADDRESS, NODE_NAME } from './node.ts';
import { API_SERVER_URL, PKI, SERVICE_RANGE } from './pki.ts';

/** All components of a cluster, in the order in which they start. */
export const COMPONENTS = [
  'etcd',
  'containerd',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'kube-proxy',
  'kubelet',
] as const;

export type ComponentName = (typeof COMPONENTS)[number];

/** Runs a command on the node and returns its output; throws if it fails. */
export type Run = (command: string, ...args: string[]) => Promise<string>;

/** The components of a node on which `run` runs commands. */
export function programs(run: Run): Readonly<Record<ComponentName, Program>> {
  const answers = (server: string, path: string) => async () => {
    await run('kubectl', `--server=${server}`, 'get', `--raw=${path}`);
    return true;
  };
  return {
    etcd: { command: ETCD, isReady: answers('http://127.0.0.1:2379', '/health') },
    containerd: {
      command: ['containerd', '--config', `${CONFIG}/containerd.toml`],
      isReady: async () => (await run('ctr', 'plugins', 'list', 'id==cri')).includes(' ok'),
    },
    'kube-apiserver': { command: API_SERVER, isReady: answers(API_SERVER_URL, '/readyz') },
    'kube-controller-manager': {
      command: CONTROLLER_MANAGER,
      isReady: async () => (await run('kubectl', 'get', 'serviceaccount', 'default', '--output=name')) !== '',
    },
    'kube-scheduler': { command: ['kube-scheduler', ...clientFlags('kube-scheduler'), '--leader-elect=false'] },
    'kube-proxy': { command: PROXY, isReady: answers('http://127.0.0.1:10256', '/healthz') },
    kubelet: { command: KUBELET, isReady: (since) => isNodeReady(run, since) },
  };
}

/** The status may be from before a restart: it counts only once the kubelet has reported it since. */
async function isNodeReady(run: Run, since: Date): Promise<boolean> {
  const ready = 'jsonpath={.status.conditions[?(@.type=="Ready")]}';
  const text = await run('kubectl', 'get', 'node', NODE_NAME, `--output=${ready}`);
  const { status, lastHeartbeatTime } = JSON.parse(text) as { status: string; lastHeartbeatTime: string };
  // Heartbeats have whole seconds.
  return status === 'True' && Date.parse(lastHeartbeatTime) >= Math.floor(since.getTime() / 1000) * 1000;
}

const clientFlags = (user: string) =>
  ['kubeconfig', 'authentication-kubeconfig', 'authorization-kubeconfig'].map(
    (flag) => `--${flag}=${PKI}/${user}.kubeconfig`,
  );

const ETCD: Program['command'] = [
  'etcd',
  '--data-dir=/var/lib/etcd',
  '--listen-client-urls=http://127.0.0.1:2379',
  '--advertise-client-urls=http://127.0.0.1:2379',
  '--listen-peer-urls=http://127.0.0.1:2380',
  '--unsafe-no-fsync',
];

const API_SERVER: Program['command'] = [
  'kube-apiserver',
  `--advertise-address=${NODE_ADDRESS}`,
  '--etcd-servers=http://127.0.0.1:2379',
  `--service-cluster-ip-range=${SERVICE_RANGE}`,
  `--client-ca-file=${PKI}/ca.crt`,
  `--tls-cert-file=${PKI}/kube-apiserver.crt`,
  `--tls-private-key-file=${PKI}/kube-apiserver.key`,
  `--kubelet-certificate-authority=${PKI}/ca.crt`,
  `--kubelet-client-certificate=${PKI}/kubelet-client.crt`,
  `--kubelet-client-key=${PKI}/kubelet-client.key`,
  '--kubelet-preferred-address-types=InternalIP',
  '--service-account-issuer=https://kubernetes.default.svc',
  `--service-account-key-file=${PKI}/service-account.key`,
  `--service-account-signing-key-file=${PKI}/service-account.key`,
  `--requestheader-client-ca-file=${PKI}/front-proxy-ca.crt`,
  '--requestheader-allowed-names=front-proxy-client',
  '--requestheader-username-headers=X-Remote-User',
  '--requestheader-group-headers=X-Remote-Group',
  '--requestheader-extra-headers-prefix=X-Remote-Extra-',
  `--proxy-client-cert-file=${PKI}/front-proxy-client.crt`,
  `--proxy-client-key-file=${PKI}/front-proxy-client.key`,
  '--authorization-mode=Node,RBAC',
  '--enable-admission-plugins=NodeRestriction',
  '--allow-privileged=true',
];

const CONTROLLER_MANAGER: Program['command'] = [
  'kube-controller-manager',
  ...clientFlags('kube-controller-manager'),
  `--root-ca-file=${PKI}/ca.crt`,
  `--service-account-private-key-file=${PKI}/service-account.key`,
  '--use-service-account-credentials',
  '--leader-elect=false',
  // The kubelet creates it if absent, by default outside of /var.
  `--flex-volume-plugin-dir=${VOLUME_PLUGINS}`,
];

// Connection tracking has limits of the whole machine, which are left alone.
const PROXY: Program['command'] = [
  'kube-proxy',
  `--kubeconfig=${PKI}/kube-proxy.kubeconfig`,
  `--hostname-override=${NODE_NAME}`,
  '--proxy-mode=nftables',
  '--conntrack-max-per-core=0',
  '--conntrack-min=0',
  '--conntrack-tcp-timeout-established=0',
  '--conntrack-tcp-timeout-close-wait=0',
];

const KUBELET: Program['command'] = [
  'kubelet',
  `--config=${CONFIG}/kubelet.json`,
  `--kubeconfig=${PKI}/kubelet.kubeconfig`,
  `--node-ip=${NODE_ADDRESS}`,
  `--hostname-override=${NODE_NAME}`,
];
