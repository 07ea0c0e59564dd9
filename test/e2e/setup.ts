import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openCluster } from '../cluster/cluster.ts';
import { startDriverCluster } from './driver-cluster.ts';
import { EVIDENCE } from './evidence.ts';
import { residentMemory } from './node-state.ts';

/** The environment variable with the cluster's directory. If set beforehand, it names a cluster of up.ts, which stays. */
export const CLUSTER_VARIABLE = 'E2E_CLUSTER';

let own: string | undefined;

/** Called once by `node --test --test-global-setup` before all tests. */
export async function globalSetup(): Promise<void> {
  if (process.env[CLUSTER_VARIABLE] !== undefined) return;
  await rm(EVIDENCE, { recursive: true, force: true });
  own = await mkdtemp(join(tmpdir(), 'csi-driver-bpffs-e2e-'));
  try {
    const { coldNodeSeconds } = await startDriverCluster(own);
    process.stdout.write(`A pod had its maps ${coldNodeSeconds.toFixed(1)} s after the driver was installed.\n`);
  } catch (error) {
    await globalTeardown();
    throw error;
  }
  process.env[CLUSTER_VARIABLE] = own;
}

/** Called after all tests. */
export async function globalTeardown(): Promise<void> {
  if (own === undefined) return;
  const cluster = await openCluster(own).catch(() => undefined);
  try {
    if (cluster === undefined) return;
    const memory = await residentMemory(cluster);
    process.stdout.write(`Resident KiB of the driver's containers: ${JSON.stringify(memory)}\n`);
  } finally {
    await cluster?.stop();
    await rm(own, { recursive: true });
  }
}
