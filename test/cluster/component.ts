import { spawn } from 'node:child_process';
import { open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, Hopeless } from './eventually.ts';
import { logTail } from './log.ts';
import { NODE_PATH, type Node } from './node.ts';
import { findChild, findProcess, isRunning, type Process, signal } from './process.ts';

/** A program that runs as a component, and how to tell that it works. */
export interface Program {
  /** A program of bin/ and its arguments, with the node's paths. */
  readonly command: readonly [string, ...string[]];
  /** Throws or returns false while it does not work yet. `since`: when the component was started. */
  isReady?(since: Date): Promise<boolean>;
}

/** A program on the node that can be stopped and started on its own. Pods continue meanwhile. */
export interface Component {
  /** The output of all its runs. */
  readonly log: string;
  isRunning(): Promise<boolean>;
  /** Starts the process without waiting until it works. */
  launch(): Promise<void>;
  /** Waits until it works. Throws the end of its log if it ends instead, or after a minute and a half. */
  ready(): Promise<void>;
  /** `launch` and `ready`. */
  start(): Promise<void>;
  /** Ends it with SIGTERM, or with SIGKILL after five seconds: the API server waits for its watches. */
  stop(): Promise<void>;
  /** Ends it with SIGKILL. */
  kill(): Promise<void>;
  /** `stop` and `start`. */
  restart(): Promise<void>;
}

const READY_S = 90;

interface Run {
  /** nsenter, which ends with the program: while it exists, the component counts as running. */
  readonly wrapper: Process;
  readonly program: Process;
  readonly since: string;
}

export function createComponent(node: Node, name: string, program: Program): Component {
  const log = join(node.directory, 'log', `${name}.log`);
  const runFile = join(node.directory, 'state', `${name}.json`);

  // Kept in a file, because the next caller may be another process.
  const current = async (): Promise<Run | undefined> => {
    const text = await readFile(runFile, 'utf8').catch(() => undefined);
    if (text === undefined) return undefined;
    const run = JSON.parse(text) as Run;
    return (await isRunning(run.wrapper)) ? run : undefined;
  };

  const endWith = async (name: NodeJS.Signals, seconds: number) => {
    const run = await current();
    if (run === undefined) return;
    await signal(run.program, name);
    await eventually(`it ends after ${name}`, seconds, async () => !(await isRunning(run.wrapper)));
    await rm(runFile, { force: true });
  };

  const component: Component = {
    log,
    isRunning: async () => (await current()) !== undefined,
    async launch() {
      if ((await current()) !== undefined) return;
      const since = new Date().toISOString();
      const processes = await spawnOnNode(node, program.command, log);
      await writeFile(runFile, JSON.stringify({ ...processes, since } satisfies Run));
    },
    async ready() {
      await eventually(`${name} works`, READY_S, async () => {
        const run = await current();
        if (run === undefined) throw new Hopeless(`${name} ended: ${await logTail(log)}`);
        return (await program.isReady?.(new Date(run.since))) ?? true;
      }).catch(async (error) => {
        throw error instanceof Hopeless ? error : new Error(`${error.message}\n${await logTail(log)}`);
      });
    },
    async start() {
      await component.launch();
      await component.ready();
    },
    stop: () => endWith('SIGTERM', 5).catch(() => component.kill()),
    kill: () => endWith('SIGKILL', 20),
    async restart() {
      await component.stop();
      await component.start();
    },
  };
  return component;
}

async function spawnOnNode(
  node: Node,
  command: Program['command'],
  log: string,
): Promise<Pick<Run, 'wrapper' | 'program'>> {
  const output = await open(log, 'a');
  try {
    const [nsenter, ...args] = node.enter(command);
    const child = spawn(nsenter, args, {
      detached: true,
      stdio: ['ignore', output.fd, output.fd],
      env: { PATH: NODE_PATH },
    });
    child.unref();
    return await eventually(`${command[0]} starts`, 10, async () => {
      const wrapper = await findProcess(child.pid ?? 0);
      if (wrapper === undefined) throw new Hopeless(`${command[0]} ended: ${await logTail(log)}`);
      const program = await findChild(wrapper.pid);
      return program && { wrapper, program };
    });
  } finally {
    await output.close();
  }
}
