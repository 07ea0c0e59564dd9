import { after, before } from 'node:test';
import { eventually } from '../cluster/eventually.ts';
import { driverObjects } from './driver-cluster.ts';
import { MAPS } from './images.ts';
import { inline, pod } from './pods.ts';
import { cluster } from './running.ts';

/**
 * Disables the driver's admission policies for the tests of the calling file or suite, so that the driver itself sees what they
 * would refuse.
 */
export function useNoAdmission(): void {
  before(async () => {
    const bindings = (await policyBindings()).map(({ metadata }) => metadata.name);
    await cluster.kubectl('delete', 'validatingadmissionpolicybinding', ...bindings);
    await eventually(
      'the policies are out of force',
      30,
      async () => !(await isRefused({})) && !(await isRefused(UNGRANTED)),
    );
  });
  after(async () => {
    await cluster.apply(await policyBindings());
    await eventually(
      'the policies are in force',
      30,
      async () => (await isRefused({})) && (await isRefused(UNGRANTED)),
    );
  });
}

const UNGRANTED = { maps: 'granted-to-nobody' };

async function policyBindings() {
  return (await driverObjects()).filter(({ kind }) => kind === 'ValidatingAdmissionPolicyBinding');
}

/** Submits a pod as a dry run. */
async function isRefused(attributes: Readonly<Record<string, string>>): Promise<boolean> {
  const overrides = JSON.stringify(pod('candidate', { volume: inline(attributes) }));
  const run = ['run', 'candidate', `--image=${MAPS}`, '--dry-run=server', `--overrides=${overrides}`];
  try {
    await cluster.kubectl(...run);
    return false;
  } catch (error) {
    if (/csi-driver-bpffs/.test(`${error}`)) return true;
    throw error;
  }
}
