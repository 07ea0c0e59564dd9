import { join } from 'node:path';
import { hostChecks } from '../inspection/host-checks.ts';
import { pinRootCheck } from '../inspection/pin-root-check.ts';
import type { CheckReport as Check } from '../inspection/reports.ts';
import type { DoctorConfig } from './doctor/config.ts';
import { processCheck, seccompCheck } from './doctor/host.ts';
import { askForNode, featureChecks } from './doctor/kernel.ts';
import { kubeletDirCheck, pinsCheck } from './doctor/mounts.ts';
import { socketChecks } from './doctor/sockets.ts';

/**
 * Checks this node and prints a line for each check. Returns whether volumes can be published here. Changes nothing.
 *
 * `root`: the installation directory, with the pinner that probes the kernel if no running one answers.
 */
export async function doctor(root: string, config: DoctorConfig): Promise<boolean> {
  const node = await askForNode(config.pinnerEndpoint);
  const pinRoots = node?.pinRoots ?? [];
  const checks = [
    ...(await featureChecks(node, join(root, 'dist', 'bpffs-pinner'))),
    ...(pinRoots.length > 0 ? pinRoots.map(pinRootCheck) : await Promise.all(config.pinRoots.map(pinsCheck))),
    await kubeletDirCheck(config.kubeletDir),
    await processCheck(),
    ...(await hostChecks()),
    await seccompCheck(),
    ...(await socketChecks(config)),
  ];
  const width = Math.max(...checks.map(({ what }) => what.length));
  for (const { state, what, found } of checks) {
    process.stdout.write(`${state.padEnd(4)}  ${what.padEnd(width)}  ${found}\n`);
  }
  const count = (state: Check['state']) => checks.filter((check) => check.state === state).length;
  const failed = count('fail');
  process.stdout.write(`\n${count('ok')} ok, ${count('warn')} warnings, ${failed} failures: `);
  process.stdout.write(failed === 0 ? 'this node can have volumes\n' : 'this node cannot have volumes\n');
  return failed === 0;
}
