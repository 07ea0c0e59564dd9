import type { FileReport, VolumeReport } from '../../src/inspection/reports.ts';
import type { GraphInput } from '../../src/kubectl/graph/model.ts';
import type { NodeAnswer } from '../../src/kubectl/graph/uses.ts';

const TIME = '2026-11-26T16:04:09Z';

interface Shape {
  readonly type: string;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly memoryBytes: number;
}

/** The kernel map of a BpfMap, or of a file in a volume. */
const SHAPES: Readonly<Record<string, Shape>> = {
  flows: { type: 'lru_hash', keySize: 40, valueSize: 64, maxEntries: 65_536, memoryBytes: 11_535_360 },
  'dns-queries': { type: 'ringbuf', keySize: 0, valueSize: 0, maxEntries: 1_048_576, memoryBytes: 1_069_072 },
  limits: { type: 'hash', keySize: 4, valueSize: 16, maxEntries: 4096, memoryBytes: 395_264 },
  'packet-drops': { type: 'percpu_array', keySize: 4, valueSize: 8, maxEntries: 256, memoryBytes: 19_456 },
  'tcp-latency': { type: 'percpu_hash', keySize: 16, valueSize: 128, maxEntries: 8192, memoryBytes: 9_175_040 },
  blocklist: { type: 'lpm_trie', keySize: 20, valueSize: 4, maxEntries: 16_384, memoryBytes: 1_835_008 },
  counts: { type: 'percpu_array', keySize: 4, valueSize: 8, maxEntries: 256, memoryBytes: 19_456 },
  events: { type: 'ringbuf', keySize: 0, valueSize: 0, maxEntries: 65_536, memoryBytes: 78_144 },
};

/** A pod's volume with a file for each name; ":rw" after a name: writable. `ids`: of the first map of the node. */
function volume(
  node: number,
  account: string,
  pod: string,
  files: string,
  change: Partial<VolumeReport> = {},
): VolumeReport {
  const [namespace = '', serviceAccount = ''] = account.split('/');
  return {
    name: 'maps',
    volumeId: `csi-${pod}`,
    type: 'maps',
    podUid: `uid-${pod}`,
    pod: { namespace, name: pod, serviceAccount },
    since: new Date(Date.parse(TIME) - (pod.length * 7919 + node * 617) * 1000).toISOString(),
    generations: 1,
    files: files.split(', ').map((file) => fileOf(node, file)),
    refusals: [],
    filesLeftOut: 0,
    ...change,
  };
}

function fileOf(node: number, file: string): FileReport {
  const [name = '', access] = file.split(':');
  const index = Object.keys(SHAPES).indexOf(name.replace(/-\d+$/, ''));
  const shape = Object.values(SHAPES)[index] ?? Object.values(SHAPES)[0];
  if (!shape) throw new Error('There is no shape.');
  const id = 40 + node * 31 + index * 3;
  const map = { id, name: name.replaceAll('-', '_').slice(0, 15), flags: 0, ...shape };
  return { path: name, access: access === 'rw' ? 'write' : 'read', bpfMap: name, map, isCurrent: true };
}

/** Makes the files of a volume those of no BpfMap. */
const withoutBpfMaps = (of: VolumeReport): VolumeReport => ({
  ...of,
  files: of.files.map((file) => ({ ...file, bpfMap: null, isCurrent: null })),
});

const SHARED = { name: 'pvc-3f0e2c47-5d0b-4a7e-9c55-0c6f1b1de3aa', volumeId: 'bpffs-1', type: 'shared' } as const;

const NODES = ['worker-a', 'worker-b', 'worker-c'];

const answer = (
  node: number,
  volumes: readonly VolumeReport[],
  denials: NonNullable<NodeAnswer['denials']>['denials'] = [],
): NodeAnswer => {
  const name = NODES[node] ?? `worker-${node}`;
  return {
    node: name,
    volumes: { node: name, time: TIME, volumes: [...volumes], volumesLeftOut: 0 },
    denials: { node: name, time: TIME, since: '2026-11-20T08:00:00Z', denials, denialsLeftOut: 0 },
  };
};

/** A small cluster in which a bit of everything happens. */
export const demo: GraphInput = {
  cluster: 'prod-eu-1',
  time: TIME,
  bpfMaps: [
    { name: 'flows', source: 'pinned /sys/fs/bpf/netobserv/flows', maxAccess: 'read' },
    { name: 'dns-queries', source: 'pinned /sys/fs/bpf/netobserv/dns', maxAccess: 'read' },
    { name: 'limits', source: 'bpfman program rate-limiter', maxAccess: 'write' },
    { name: 'packet-drops', source: 'bpfman program rate-limiter', maxAccess: 'read' },
    { name: 'tcp-latency', source: 'loaded by process latencyd', maxAccess: 'read' },
    { name: 'blocklist', source: 'pinned /sys/fs/bpf/firewall/blocklist', maxAccess: 'write' },
    { name: 'old-metrics', source: 'pinned /sys/fs/bpf/metrics', maxAccess: 'read' },
  ],
  nodes: [
    ...[0, 1, 2].map((node) => {
      const agents = [
        volume(
          node,
          'observability/flow-collector',
          `flow-collector-${['x2k9f', '7hq4d', 'bn8tz'][node]}`,
          'flows, dns-queries',
        ),
        volume(
          node,
          'observability/latency-exporter',
          `latency-exporter-${['m4w2c', 'q9s5v', 'z6r7j'][node]}`,
          'tcp-latency, packet-drops',
        ),
        volume(node, 'network/limiter', `limiter-${['5fj8k', 'c3n6p', 'w8x4h'][node]}`, 'limits:rw, packet-drops'),
      ];
      if (node === 0)
        return answer(
          node,
          [
            ...agents,
            volume(node, 'security/firewall-controller', 'firewall-controller-6c9f7d8b54-kq2vx', 'blocklist:rw', {
              generations: 2,
            }),
            withoutBpfMaps(volume(node, 'pipeline/source', 'packet-source-0', 'counts:rw, events:rw', SHARED)),
            withoutBpfMaps(volume(node, 'pipeline/sink', 'packet-sink-0', 'counts, events', SHARED)),
          ],
          [
            {
              namespace: 'default',
              serviceAccount: 'debug-shell',
              pod: 'debug-shell',
              bpfMap: 'flows',
              verb: 'read',
              reason: 'grant',
              message:
                'default/debug-shell may not read BpfMap flows. Grant it: kubectl create rolebinding debug-shell-flows --clusterrole=flows-reader --serviceaccount=default:debug-shell',
              first: '2026-11-26T15:31:02Z',
              last: '2026-11-26T16:03:40Z',
              count: 27,
            },
          ],
        );
      if (node === 1) {
        const outdated = volume(node, 'security/threat-intel', 'threat-intel-7d5b9c6f48-8wlzm', 'blocklist, flows');
        return answer(
          node,
          [
            ...agents,
            { ...outdated, files: outdated.files.map((file) => ({ ...file, isCurrent: file.path !== 'blocklist' })) },
            volume(node, 'shop/checkout', 'checkout-5b7c8d9f6-h4xkt', 'limits', {
              refusals: [
                {
                  bpfMap: 'limits',
                  reason: 'denied',
                  message: 'shop/checkout may not write BpfMap limits, so that the volume has it read-only.',
                },
              ],
            }),
          ],
          [
            {
              namespace: 'shop',
              serviceAccount: 'checkout',
              pod: 'checkout-5b7c8d9f6-h4xkt',
              bpfMap: 'limits',
              verb: 'write',
              reason: 'grant',
              message: 'No RBAC rule allows it.',
              first: '2026-11-26T14:10:00Z',
              last: '2026-11-26T16:03:59Z',
              count: 114,
            },
          ],
        );
      }
      return answer(node, [
        ...agents,
        volume(node, 'shop/checkout', 'checkout-5b7c8d9f6-r9m2q', 'limits'),
        withoutBpfMaps(
          volume(node, 'platform/xdp-loader', 'xdp-loader-0', 'flows-0:rw, limits-0:rw', {
            name: 'pvc-8b1f6a52-9c1e-4d6f-8f5b-2f60d1f0c9ab',
            volumeId: 'bpffs-2',
            type: 'workspace',
          }),
        ),
        volume(node, 'none/none', 'none', 'dns-queries', { pod: null, since: null, type: null }),
      ]);
    }),
    { node: 'worker-d', error: 'the node plugin on worker-d does not answer: connect ECONNREFUSED 10.0.0.14:9810' },
  ],
};

/** A large cluster: 100 nodes with 10 pods each, of 200 service accounts in 20 namespaces; `maps` for each pod. */
export function large(maps = 3): GraphInput {
  const names = Object.keys(SHAPES).flatMap((name) => [name, `${name}-1`, `${name}-2`]);
  return {
    cluster: 'large',
    time: TIME,
    bpfMaps: names.map((name) => ({
      name,
      source: `pinned /sys/fs/bpf/${name.replace(/-\d$/, '')}`,
      maxAccess: 'write',
    })),
    nodes: Array.from({ length: 100 }, (_, node) =>
      answer(
        node,
        Array.from({ length: 10 }, (_, index) => {
          const account = (node * 10 + index) % 200;
          const files = Array.from(
            { length: maps },
            (_, file) => `${names[(account * 5 + file * 7) % names.length]}${(account + file) % 5 ? '' : ':rw'}`,
          );
          return volume(
            node,
            `team-${account % 20}/service-${account}`,
            `service-${account}-${(node * 7919 + 4096).toString(36)}-${index}`,
            files.join(', '),
          );
        }),
      ),
    ),
  };
}

/** A name that tries everything. */
export const HOSTILE = `</title></script><script>document.title='owned'</script><img src=x onerror="document.title='owned'">\u2028\u2029<!--\u202e`;

/** A cluster in which everything has a hostile name. */
export const hostile: GraphInput = {
  cluster: HOSTILE,
  time: TIME,
  bpfMaps: [{ name: HOSTILE, source: HOSTILE, maxAccess: HOSTILE }],
  nodes: [
    {
      ...answer(
        0,
        [volume(0, 'x/x', 'x', 'flows', { pod: { namespace: HOSTILE, name: HOSTILE, serviceAccount: HOSTILE } })].map(
          (of) => ({ ...of, files: of.files.map((file) => ({ ...file, bpfMap: HOSTILE })) }),
        ),
      ),
      node: HOSTILE,
      error: HOSTILE,
    },
  ],
};
