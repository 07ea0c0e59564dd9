import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createVolumeObjects } from '../../../src/volumes/volume-objects.ts';
import { type ApiServer, end } from '../../apiserver/api-server.ts';
import { AUDIENCE } from '../../apiserver/pods.ts';
import { eventually } from '../../cluster/eventually.ts';
import { startFakePinner } from '../../node-plugin/fake-pinner.ts';
import type { Row } from '../markdown-table.ts';
import { residentMebibytes } from '../process-usage.ts';

/** Gives Node the flags that it has on a node. */
const MAIN = join(import.meta.dirname, '../../../bin/csi-driver-bpffs');
const NODE = 'node-of-volumes';
const NAMESPACE = 'bench';
/** Requests at a time while objects are made. */
const AT_A_TIME = 8;
/** A plugin that has just started has not yet collected its garbage. */
const SETTLE_MS = 10_000;

export interface Objects {
  readonly maps: number;
  /** All on the node. */
  readonly volumes: number;
}

/** Resident memory of a node plugin's process, as it is now and with `objects`, which it makes. */
export async function measureNodeMemory(api: ApiServer, objects: Objects): Promise<readonly Row[]> {
  const pinnerSocket = join(api.directory, 'pinner-of-memory.sock');
  const pinner = await startFakePinner(pinnerSocket);
  const row = async (what: string): Promise<Row> => ({
    'node plugin': what,
    'resident MiB': await residentAtStart(api, pinnerSocket),
  });
  try {
    const few = await row('2 BpfMaps, no BpfVolume');
    await makeObjects(api, objects);
    const count = (value: number) => value.toLocaleString('en');
    return [few, await row(`${count(objects.maps)} BpfMaps, ${count(objects.volumes)} BpfVolumes on its node`)];
  } finally {
    await pinner.stop();
  }
}

async function residentAtStart(api: ApiServer, pinnerSocket: string): Promise<number> {
  const child = spawn(MAIN, ['node'], {
    stdio: 'ignore',
    env: {
      PATH: process.env.PATH,
      BPFFS_NODE_ID: NODE,
      BPFFS_CLUSTER: 'true',
      BPFFS_KUBECONFIG: api.kubeconfig,
      BPFFS_DRIVER_NAME: AUDIENCE,
      BPFFS_ENDPOINT: `unix://${join(api.directory, 'csi.sock')}`,
      BPFFS_PINNER_ENDPOINT: `unix://${pinnerSocket}`,
      BPFFS_HTTP_ADDRESS: '127.0.0.1:9878',
      BPFFS_INSPECTION_ADDRESS: 'off',
    },
  });
  try {
    await once(child, 'spawn');
    await eventually('the node plugin is ready', 60, async () => {
      if (child.exitCode !== null) throw new Error('it has ended');
      return (await fetch('http://127.0.0.1:9878/readyz')).ok;
    });
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    return await residentMebibytes(child.pid ?? 0);
  } finally {
    await end(child);
  }
}

async function makeObjects({ admin }: ApiServer, { maps, volumes }: Objects): Promise<void> {
  const store = createVolumeObjects(admin);
  await inTurns(maps, (index) =>
    admin.create(
      { group: 'bpffs.dev', version: 'v1alpha1', plural: 'bpfmaps' },
      {
        kind: 'BpfMap',
        metadata: { name: `map-${index}` },
        spec: { source: { pinned: { path: `/sys/fs/bpf/map-${index}` } } },
      },
    ),
  );
  await inTurns(volumes, (index) =>
    store.create({
      volumeName: `pvc-${index}`,
      content: {
        type: 'shared',
        newMaps: [{ name: 'events', type: 'hash', keySize: 4, valueSize: 8, maxEntries: 16, flags: [] }],
      },
      userNamespace: false,
      accessModes: ['SINGLE_NODE_MULTI_WRITER'],
      capacityBytes: 0,
      nodeName: NODE,
      claim: { namespace: NAMESPACE, name: `claim-${index}` },
    }),
  );
}

async function inTurns(count: number, make: (index: number) => Promise<unknown>): Promise<void> {
  const left = Array.from({ length: count }, (_, index) => index).values();
  const turn = async () => {
    for (const index of left) await make(index);
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, turn));
}
