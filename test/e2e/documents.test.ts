// The commands of the documents, run in their order on a cluster on which nothing else was done, and their output.
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { version } from '../../src/version.ts';
import { type Cluster, startCluster } from '../cluster/cluster.ts';
import { matches, runAsReader, stepsOfDocument } from './documented.ts';
import { DRIVER, importImages, PROVISIONER } from './images.ts';

const ROOT = join(import.meta.dirname, '../..');

/** The names that documents and the chart have for images, beside what importImages gives them. */
async function nameImages(cluster: Cluster): Promise<void> {
  const image = (from: string, to: string) => cluster.run('ctr', 'images', 'tag', from, to);
  const driver = `${DRIVER.repository}:${DRIVER.tag}`;
  await image(driver, `registry.example/csi-driver-bpffs:${version}`);
  await image(driver, `ghcr.io/csi-driver-bpffs/csi-driver-bpffs:${version}`);
  const [provisioner] =
    /(?<= image: )\S*csi-provisioner\S*/.exec(await readFile(join(ROOT, 'deploy/chart/values.yaml'), 'utf8')) ??
    assert.fail('no provisioner');
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

/** What a reader writes in the place of the words in capitals. */
const PLACEHOLDERS: Readonly<Record<string, string>> = {
  NODE: 'node-1',
  POD: '$(kubectl -n csi-driver-bpffs get pods -l app.kubernetes.io/component=node -o name)',
  NAMESPACE: 'example-read-only',
  NAME: 'unused',
};

/** Runs all commands of the documents, one document after the other. */
async function follow(cluster: Cluster, ...documents: readonly string[]): Promise<void> {
  for (const document of documents) {
    const steps = await stepsOfDocument(document);
    assert.ok(steps.length > 0, `${document} has no commands`);
    for (const { command, output } of steps) {
      const { all, failed } = await runAsReader(
        cluster,
        command.replaceAll(/\b[A-Z]+\b/g, (word) => PLACEHOLDERS[word] ?? word),
      );
      const said = `${document}:\n$ ${command}\n${all}`;
      if (output === undefined) assert.ok(!failed, `${said}\n\nIt failed.`);
      else assert.ok(matches(all, output), `${said}\n\nThe document says:\n${output}`);
    }
  }
}

/** Each in a cluster of its own, in the order in which a reader comes to them. */
const JOURNEYS: readonly (readonly [what: string, ...documents: readonly string[]])[] = [
  ['a first map', 'docs/tutorial.md'],
  [
    'from the README on',
    'README.md',
    'docs/grant.md',
    'docs/inspect.md',
    'docs/runbooks.md',
    'docs/troubleshooting.md',
  ],
  ['an installation, from its start to its end', 'docs/install.md', 'docs/upgrade.md'],
];

for (const [what, ...documents] of JOURNEYS) {
  test(`${what}: ${documents.join(', ')}`, () => withCluster((cluster) => follow(cluster, ...documents)));
}

/** Documents whose commands other tests run. */
const ELSEWHERE: Readonly<Record<string, string>> = { 'docs/delegate.md': 'delegation.test.ts' };

test('every document with commands is followed', async () => {
  const all = ['README.md', ...(await readdir(join(ROOT, 'docs'))).map((name) => `docs/${name}`)];
  const followed = [...JOURNEYS.flatMap(([, ...documents]) => documents), ...Object.keys(ELSEWHERE)];
  for (const document of all.filter((file) => file.endsWith('.md'))) {
    const steps = await stepsOfDocument(document);
    assert.equal(followed.includes(document), steps.length > 0, document);
  }
});
