// The commands of the documents, run in their order on a cluster on which nothing else was done, and their output.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { execa } from 'execa';
import { version } from '../../src/version.ts';
import { type Cluster, RUN_ENVIRONMENT, startCluster } from '../cluster/cluster.ts';
import { DRIVER, importImages } from './images.ts';

const ROOT = join(import.meta.dirname, '../..');
const HELM = join(ROOT, 'test/deploy/bin');

/** A command of a document, and what it prints: "…" stands for any text. */
interface Step {
  readonly command: string;
  readonly output: string;
}

/** The commands of the console blocks, in order. */
function stepsOf(markdown: string): readonly Step[] {
  const blocks = markdown.matchAll(/^```console\n(.*?)^```/gms);
  return Array.from(blocks, ([, text = '']) => text.split(/^\$ /m).slice(1)).flatMap((entries) =>
    entries.map((entry) => {
      const [command = '', ...output] = entry.trimEnd().split('\n');
      return { command, output: output.join('\n') };
    }),
  );
}

/** Whether `said` is `output`, in which "…" stands for any text. */
function matches(said: string, output: string): boolean {
  const parts = output.split('…').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`, 's').test(said);
}

/** Runs a command as a reader does, in the root of the repository, with both outputs. It may fail where the document shows that. */
async function run(cluster: Cluster, command: string): Promise<string> {
  const [file = '', ...args] = cluster.node.enter(['sh', '-c', `cd '${ROOT}' && ${command}`]);
  const env = { ...RUN_ENVIRONMENT, PATH: `${HELM}:${RUN_ENVIRONMENT.PATH}` };
  const { all } = await execa(file, args, { env, extendEnv: false, all: true, reject: false });
  return all;
}

async function withCluster(use: (cluster: Cluster) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'csi-driver-bpffs-documents-'));
  const cluster = await startCluster(directory);
  try {
    await importImages(cluster);
    const { repository, tag } = DRIVER;
    await cluster.run('ctr', 'images', 'tag', `${repository}:${tag}`, `${repository}:${version}`);
    await use(cluster);
  } finally {
    await cluster.stop();
    await rm(directory, { recursive: true });
  }
}

test('docs/tutorial.md', async () => {
  const steps = stepsOf(await readFile(join(ROOT, 'docs/tutorial.md'), 'utf8'));
  assert.ok(steps.length > 15);
  await withCluster(async (cluster) => {
    for (const { command, output } of steps) {
      const said = await run(cluster, command);
      assert.ok(matches(said, output), `$ ${command}\n${said}\n\nthe document says:\n${output}`);
    }
  });
});
