import type { Cluster } from '../cluster/cluster.ts';
import { eventually } from '../cluster/eventually.ts';
import { NAMESPACE } from '../deploy/helm.ts';
import { type DriverProcess, driverProcesses } from './node-state.ts';

type Node = Pick<Cluster, 'run' | 'kubectl'>;

const DAEMON_SET = ['daemonset/csi-driver-bpffs-node', `--namespace=${NAMESPACE}`] as const;

/** Kills a process and waits until the kubelet has restarted it. */
export async function killDriver(cluster: Node, process: DriverProcess): Promise<void> {
  const { [process]: pid } = await driverProcesses(cluster);
  await cluster.run('kill', '-KILL', `${pid}`);
  await eventually('it is started again', 120, async () => {
    const { [process]: next } = await driverProcesses(cluster);
    return next !== pid;
  });
}

/** Rolls the DaemonSet. The result waits until that is done. */
export async function rollDriver(cluster: Node): Promise<() => Promise<void>> {
  await cluster.kubectl('rollout', 'restart', ...DAEMON_SET);
  return async () => {
    await cluster.kubectl('rollout', 'status', ...DAEMON_SET, '--timeout=120s');
  };
}
