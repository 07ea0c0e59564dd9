// Commands as documents show them, with what they print.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { type Cluster, RUN_ENVIRONMENT } from '../cluster/cluster.ts';

const ROOT = join(import.meta.dirname, '../..');
/** helm, and the plugin of kubectl. */
const PROGRAMS = [join(ROOT, 'test/deploy/bin'), join(ROOT, 'dist/kubectl')];

/** A command, and what it prints: "…" stands for any text. */
export interface Step {
  readonly command: string;
  readonly output: string;
}

/** The commands of a transcript, in order: each line that starts with "$ " is one, and the lines after it are its output. */
function steps(transcript: string): readonly Step[] {
  return transcript
    .split(/^\$ /m)
    .slice(1)
    .map((entry) => {
      const [command = '', ...output] = entry.trimEnd().split('\n');
      return { command, output: output.join('\n') };
    });
}

/** The commands of all console blocks of a Markdown file, in order. `file`: relative to the root of the repository. */
export async function stepsOfDocument(file: string): Promise<readonly Step[]> {
  const blocks = (await readFile(join(ROOT, file), 'utf8')).matchAll(/^```console\n(.*?)^```/gms);
  return Array.from(blocks, ([, text = '']) => steps(text)).flat();
}

/** The commands in the comment at the head of a YAML file. `file`: relative to the root of the repository. */
export async function stepsOfManifest(file: string): Promise<readonly Step[]> {
  const [head = ''] = (await readFile(join(ROOT, file), 'utf8')).split(/^[^#]/m, 1);
  return steps(head.replaceAll(/^# ?/gm, ''));
}

/** Whether the whole of `said` is `output`, in which "…" stands for any text. */
export function matches(said: string, output: string): boolean {
  const parts = output.split('…').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`, 's').test(said);
}

/** Runs a command as a reader does, in the root of the repository, with both outputs. It may fail where the document shows that. */
export async function runAsReader(cluster: Cluster, command: string): Promise<string> {
  const [file = '', ...args] = cluster.node.enter(['sh', '-c', `cd '${ROOT}' && ${command}`]);
  const env = { ...RUN_ENVIRONMENT, PATH: [...PROGRAMS, RUN_ENVIRONMENT.PATH].join(':') };
  const { all } = await execa(file, args, { env, extendEnv: false, all: true, reject: false });
  return all;
}
