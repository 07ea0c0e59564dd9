import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PKI } from './pki.ts';
import { PAUSE } from './stock-images.ts';

/** Where the node finds the files of `writeConfig`. */
export const CONFIG = '/run/cluster/config';
/** Empty, but created if absent. */
export const VOLUME_PLUGINS = '/var/lib/kubelet/volumeplugins';

/** Fields of a KubeletConfiguration (kubelet.config.k8s.io/v1beta1). */
export type KubeletConfiguration = Readonly<Record<string, unknown>>;

/** Writes the configuration of containerd, the CNI plugins and the kubelet. `kubelet` replaces fields of its configuration. */
export async function writeConfig(directory: string, cgroup: string, kubelet: KubeletConfiguration): Promise<void> {
  await mkdir(join(directory, 'cni'), { recursive: true });
  await writeFile(join(directory, 'containerd.toml'), CONTAINERD);
  await writeFile(join(directory, 'cni', 'pods.conflist'), JSON.stringify(NETWORK));
  // Nothing answers there, and fails at once: there is no cluster DNS.
  await writeFile(join(directory, 'resolv.conf'), 'nameserver 127.0.0.1\n');
  const configuration = { ...KUBELET, cgroupRoot: `/${cgroup}`, ...kubelet };
  await writeFile(join(directory, 'kubelet.json'), JSON.stringify(configuration, null, 2));
}

// A machine may deny its root CAP_SYS_RESOURCE, and without that no sandbox can lower its oom_score_adj.
const CONTAINERD = `\
version = 3

[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = '${PAUSE}'

[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true

[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ['/usr/lib/cni']
conf_dir = '${CONFIG}/cni'

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
BinaryName = '/run/cluster/bin/runc'
SystemdCgroup = false
`;

const NETWORK = {
  cniVersion: '1.0.0',
  name: 'pods',
  plugins: [
    {
      type: 'ptp',
      ipam: { type: 'host-local', ranges: [[{ subnet: '10.244.0.0/24' }]], routes: [{ dst: '0.0.0.0/0' }] },
    },
  ],
};

const KUBELET = {
  apiVersion: 'kubelet.config.k8s.io/v1beta1',
  kind: 'KubeletConfiguration',
  authentication: {
    anonymous: { enabled: false },
    webhook: { enabled: true },
    x509: { clientCAFile: `${PKI}/ca.crt` },
  },
  authorization: { mode: 'Webhook' },
  tlsCertFile: `${PKI}/kubelet-server.crt`,
  tlsPrivateKeyFile: `${PKI}/kubelet-server.key`,
  containerRuntimeEndpoint: 'unix:///run/containerd/containerd.sock',
  cgroupDriver: 'cgroupfs',
  failCgroupV1: false,
  failSwapOn: false,
  resolvConf: `${CONFIG}/resolv.conf`,
  volumePluginDir: VOLUME_PLUGINS,
  // The disk is the machine's: if it fills up, no pod or image must be evicted for it.
  imageGCHighThresholdPercent: 100,
  evictionHard: { 'memory.available': '50Mi', 'nodefs.available': '1%', 'imagefs.available': '1%' },
};
