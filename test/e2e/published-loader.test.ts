import { before, test } from 'node:test';
import { eventually } from '../cluster/eventually.ts';
import { PUBLISHED } from './images.ts';
import { account, bpfMap, claimSpec, mapRole, roleBinding, serviceAccount, storageClass } from './objects.ts';
import { inline, pod, ROOT } from './pods.ts';
import { useSpace } from './space.ts';

/** Where the loader is, and where the pod that uses its map. */
const [net, prod] = [useSpace(), useSpace()];
const CLASS = `${net.name}-workspace`;
const PORTS = `${net.name}-ports`;

/** Debian's xdp-filter, which pins its maps beneath /sys/fs/bpf: as with a hostPath there, but for the volume. */
const filter = {
  apiVersion: 'apps/v1',
  kind: 'DaemonSet',
  metadata: { name: 'filter' },
  spec: {
    selector: { matchLabels: { app: 'filter' } },
    template: {
      metadata: { labels: { app: 'filter' } },
      spec: {
        terminationGracePeriodSeconds: 0,
        containers: [
          {
            name: 'main',
            image: PUBLISHED,
            command: ['sh', '-c', 'xdp-filter load --mode skb eth0 && exec sleep infinity'],
            securityContext: {
              ...ROOT,
              allowPrivilegeEscalation: false,
              capabilities: { drop: ['ALL'], add: ['BPF', 'NET_ADMIN', 'PERFMON'] },
            },
            volumeMounts: [{ name: 'bpf', mountPath: '/sys/fs/bpf' }],
          },
        ],
        volumes: [{ name: 'bpf', ephemeral: { volumeClaimTemplate: { spec: claimSpec(CLASS) } } }],
      },
    },
  },
};

/** Of xdp-filter's map: port 7001, in network byte order; destination, TCP and UDP. */
const ENTRY = [...['key', 'hex', '1b', '59', '00', '00'], ...['value', 'hex', '0e', ...Array(7).fill('00')]];

before(async () => {
  const workspace = { namespace: net.name, daemonSet: 'filter', volume: 'bpf', path: 'xdp-filter/filter_ports' };
  await net.apply(
    storageClass(CLASS, { type: 'workspace' }),
    bpfMap(PORTS, { source: { workspace }, maxAccess: 'ReadWrite' }),
    filter,
  );
  await prod.apply(
    serviceAccount('app'),
    mapRole(`${prod.name}-app`, { write: [PORTS] }),
    roleBinding('app', `${prod.name}-app`, account(prod.name, 'app')),
  );
});

test('xdp-filter, a published loader, runs in a DaemonSet without hostPath; an unprivileged pod decides what it drops', async () => {
  await prod.start(
    pod('app', { serviceAccount: 'app', volume: inline({ maps: `${PORTS}:rw` }), container: { image: PUBLISHED } }),
  );
  await prod.exec('app', 'bpftool', 'map', 'update', 'pinned', `/maps/${PORTS}`, ...ENTRY);
  const [name, address] = (
    await net.kubectl('get', 'pods', '--output=jsonpath={.items[0].metadata.name} {.items[0].status.podIP}')
  ).split(' ');
  await eventually('a packet to that port has been dropped', 30, async () => {
    await prod.exec('app', 'sh', '-c', `nc -w 1 ${address} 7001 </dev/null || true`);
    const status = await net.exec(`${name}`, 'xdp-filter', 'status');
    if (/7001 +dst,tcp,udp +[1-9]/.test(status) && /XDP_DROP +[1-9]/.test(status)) return true;
    throw new Error(status);
  });
  await prod.stop('app');
});
