import { constants } from 'node:os';
import { execa } from 'execa';
import { openCluster, RUN_ENVIRONMENT, startCluster } from './cluster.ts';
import { COMPONENTS, type ComponentName } from './components.ts';

const USAGE = `\
usage: node test/cluster/cli.ts up DIRECTORY                       start a cluster, or go on with a stopped one
       node test/cluster/cli.ts down DIRECTORY                     stop it; the directory stays
       node test/cluster/cli.ts exec DIRECTORY COMMAND [ARG...]    run a command on the node: kubectl, ctr, bash ...
       node test/cluster/cli.ts import DIRECTORY ARCHIVE...        load images from OCI archives
       node test/cluster/cli.ts (start|stop|kill|restart) DIRECTORY COMPONENT
components: ${COMPONENTS.join(', ')}
`;

/** Returns the exit status. */
async function main([verb = '', directory, ...rest]: readonly string[]): Promise<number> {
  if (directory === undefined) return usage();
  if (verb === 'up') {
    await startCluster(directory, { outlivesCaller: true });
    process.stdout.write(`ready; try: node test/cluster/cli.ts exec ${directory} kubectl get nodes\n`);
    return 0;
  }
  const cluster = await openCluster(directory);
  const [first] = rest;
  if (verb === 'down') {
    await cluster.stop();
  } else if (verb === 'exec' && first !== undefined) {
    const [command, ...args] = cluster.node.enter(rest);
    const { TERM = 'dumb' } = process.env;
    const env = { ...RUN_ENVIRONMENT, TERM, HOME: '/root' };
    const { exitCode, signal } = await execa(command, args, { stdio: 'inherit', env, extendEnv: false, reject: false });
    return exitCode ?? 128 + (signal === undefined ? 0 : constants.signals[signal]);
  } else if (verb === 'import') {
    for (const archive of rest) await cluster.importImage(archive);
  } else if (verb === 'start' || verb === 'stop' || verb === 'kill' || verb === 'restart') {
    if (!isComponent(first)) return usage();
    await cluster.components[first][verb]();
  } else {
    return usage();
  }
  return 0;
}

function isComponent(name: string | undefined): name is ComponentName {
  return (COMPONENTS as readonly (string | undefined)[]).includes(name);
}

function usage(): number {
  process.stderr.write(USAGE);
  return 64;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}
