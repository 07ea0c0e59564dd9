// node test/e2e/up.ts DIRECTORY: starts a cluster with the driver, which runs until `node test/cluster/cli.ts down DIRECTORY`.
import { startDriverCluster } from './driver-cluster.ts';
import { CLUSTER_VARIABLE } from './setup.ts';

const [directory] = process.argv.slice(2);
if (directory === undefined) {
  process.stderr.write('usage: node test/e2e/up.ts DIRECTORY\n');
  process.exit(64);
}
await startDriverCluster(directory, { outlivesCaller: true });
process.stdout.write(`ready; ${CLUSTER_VARIABLE}=${directory} makes the tests use it\n`);
