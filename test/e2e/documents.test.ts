// The commands of the documents, run in their order on a cluster on which nothing else was done, and their output.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { version } from '../../src/version.ts';
import { type Cluster, startCluster } from '../cluster/cluster.ts';
import { matches, runAsReader, stepsOfDocument } from './documented.ts';
import { DRIVER, importImages, PROVISIONER } from './images.ts';

const VALUES = join(import.meta.dirname, '../../deploy/chart/values.yaml');

/** The names that documents and the chart have for images, beside what importImages gives them. */
async function nameImages(cluster: Cluster): Promise<void> {
  const image = (from: string, to: string) => cluster.run('ctr', 'images', 'tag', from, to);
  await image(`${DRIVER.repository}:${DRIVER.tag}`, `registry.example/csi-driver-bpffs:${version}`);
  const [provisioner] =
    /(?<= image: )\S*csi-provisioner\S*/.exec(await readFile(VALUES, 'utf8')) ?? assert.fail('no provisioner');
  await image(PROVISIONER, provisioner);
}

async function withCluster(use: (cluster: Cluster) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'csi-driver-bpffs-documents-'));
  const cluster = await startCluster(directory);
  try {
    await importImages(cluster);
    await nameImages(cluster);
    await use(cluster);
  } finally {
    await cluster.stop();
    await rm(directory, { recursive: true });
  }
}

/** Runs all commands of the documents, one document after the other. */
async function follow(cluster: Cluster, ...documents: readonly string[]): Promise<void> {
  for (const document of documents) {
    const steps = await stepsOfDocument(document);
    assert.ok(steps.length > 0, `${document} has no commands`);
    for (const { command, output } of steps) {
      const said = await runAsReader(cluster, command);
      assert.ok(matches(said, output), `${document}:\n$ ${command}\n${said}\n\nthe document says:\n${output}`);
    }
  }
}

test('the tutorial', async () => {
  await withCluster((cluster) => follow(cluster, 'docs/tutorial.md'));
});

test('the README', async () => {
  await withCluster((cluster) => follow(cluster, 'README.md'));
});
