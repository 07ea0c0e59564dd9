// Commands as documents show them, with what they print.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { parse } from 'yaml';
import { type Cluster, RUN_ENVIRONMENT } from '../cluster/cluster.ts';

const ROOT = join(import.meta.dirname, '../..');
/** helm, and the plugin of kubectl. */
const PROGRAMS = [join(ROOT, 'test/deploy/bin'), join(ROOT, 'dist/kubectl')];

/** A command. `output`: what it prints, where "…" stands for any text; undefined: the document does not say, and it must succeed. */
export interface Step {
  readonly command: string;
  readonly output: string | undefined;
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

/**
 * The commands of a Markdown file, in order: those of its `console` blocks with their outputs, and each `sh` block as one command. A block
 * after a comment that says why it is not run is left out. `file`: relative to the root of the repository.
 */
export async function stepsOfDocument(file: string): Promise<readonly Step[]> {
  const text = await readFile(join(ROOT, file), 'utf8');
  const blocks = text.matchAll(/(?<=^([^\n]*)\n) *```(console|sh)\n(.*?)^ *```/gms);
  return Array.from(blocks).flatMap(([, before = '', kind, content = '']) => {
    if (before.trim().startsWith(NOT_RUN)) return [];
    return kind === 'console' ? steps(content) : [{ command: content, output: undefined }];
  });
}

/** The `yaml` blocks of a Markdown file, in order. `file`: relative to the root of the repository. */
export async function yamlOfDocument(file: string): Promise<readonly unknown[]> {
  const text = await readFile(join(ROOT, file), 'utf8');
  return Array.from(text.matchAll(/^```yaml\n(.*?)^```/gms), ([, content = '']) => parse(content));
}

/** How the comment starts that says why a block is not run. */
const NOT_RUN = '<!-- not run in the tests: ';

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

/** What a command said, with both outputs, and whether it succeeded. */
export interface Said {
  readonly all: string;
  readonly failed: boolean;
}

/** Runs a command as a reader does, in the root of the repository. */
export async function runAsReader(cluster: Cluster, command: string): Promise<Said> {
  const [file = '', ...args] = cluster.node.enter(['sh', '-ec', `cd '${ROOT}'\n${command}`]);
  const env = { ...RUN_ENVIRONMENT, PATH: [...PROGRAMS, RUN_ENVIRONMENT.PATH].join(':') };
  return execa(file, args, { env, extendEnv: false, all: true, reject: false });
}
