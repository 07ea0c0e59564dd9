export const DIGEST = `sha256:${'0'.repeat(64)}`;

/** Values of the chart that enable every feature. */
export const EVERYTHING = {
  global: { imageRegistry: 'registry.example/mirror' },
  commonLabels: { team: 'network', 'app.kubernetes.io/part-of': 'observability' },
  image: { digest: DIGEST },
  imagePullSecrets: [{ name: 'registry' }],
  logLevel: 'debug',
  kubeletDir: '/var/lib/k0s/kubelet',
  pinRoots: ['/sys/fs/bpf', '/run/cilium/bpffs'],
  networkMaps: true,
  budget: { createdMaps: 1000000, createdMemory: '4Gi', workspaces: 0 },
  node: {
    priorityClassName: 'maps-first',
    podLabels: { team: 'kernel' },
    podAnnotations: { 'kubectl.kubernetes.io/default-container': 'pinner' },
    nodeSelector: { maps: 'yes' },
    affinity: { nodeAffinity: {} },
    seLinuxOptions: { type: 'spc_t' },
    maxUnavailable: 1,
  },
  controller: {
    replicas: 3,
    priorityClassName: '',
    podLabels: { zone: 'a' },
    podAnnotations: { 'example.org/scrape': 'true' },
    nodeSelector: { role: 'infra' },
    affinity: { podAntiAffinity: {} },
    tolerations: [{ key: 'infra', operator: 'Exists' }],
  },
  storageClasses: [
    {
      name: 'packet-maps',
      parameters: { maps: 'flows, limits:rw' },
      volumeBindingMode: 'Immediate',
      reclaimPolicy: 'Retain',
    },
    {
      name: 'packet-counts',
      default: true,
      allowedTopologies: [{ matchLabelExpressions: [{ key: 'topology.csi.bpffs.dev/node', values: ['a'] }] }],
      parameters: { type: 'shared', newMaps: '- { name: counts, type: array, valueSize: 8, maxEntries: 256 }\n' },
    },
  ],
  catalogReaders: ['developers'],
  inspectors: ['admins'],
  admission: { action: 'Warn', tracingDelegations: ['profiler'], setHostUsers: true },
  serviceAccountTokenInSecrets: true,
  securityContextConstraints: true,
  networkPolicy: {
    metricsFrom: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'monitoring' } } }],
    apiServerPorts: [443, 6443],
  },
  podMonitor: { enabled: true, labels: { release: 'prometheus' } },
  prometheusRule: { enabled: true, labels: { release: 'prometheus' } },
  dashboard: { enabled: true },
  namespace: { create: true },
};
