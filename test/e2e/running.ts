import { afterEach } from 'node:test';
import { openCluster } from '../cluster/cluster.ts';
import { saveEvidence } from './evidence.ts';
import { CLUSTER_VARIABLE } from './setup.ts';

const directory = process.env[CLUSTER_VARIABLE];
if (directory === undefined) throw new Error('run these tests with --test-global-setup=test/e2e/setup.ts');

/** Seconds within which a running pod sees a change, if its kubelet looks every minute; this one looks every few seconds. */
export const WITHIN_S = 120;

/** The cluster of this run, with the driver. Tests undo what they change. */
export const cluster = await openCluster(directory);

afterEach(async (context) => {
  if (!('passed' in context) || context.passed) return;
  context.diagnostic(`what the cluster looked like then: ${await saveEvidence(cluster, context.fullName)}`);
});
