import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { eventually } from '../cluster/eventually.ts';
import { parseManifest } from '../deploy/helm.ts';
import { saveEvidence } from './evidence.ts';
import { MAPS } from './images.ts';
import { startLimiter } from './limiter.ts';
import { nodeMaps } from './node-maps.ts';
import { cluster, WITHIN_S } from './running.ts';

const DIRECTORY = join(import.meta.dirname, '../../deploy/examples');
const SLEEP = ['sleep', 'infinity'];

const maps = nodeMaps(cluster);
before(() => maps.create('netobserv/flows', { 7: 42 }));
after(() => maps.remove('netobserv'));

/** A file of deploy/examples, with fictitious programs replaced by sleeping ones. */
async function example(name: string, replacements: Readonly<Record<string, string>> = {}): Promise<string> {
  let text = await readFile(join(DIRECTORY, name), 'utf8');
  for (const [from, to] of Object.entries(replacements)) {
    assert(text.includes(from), from);
    text = text.replaceAll(from, to);
  }
  return text
    .replaceAll(/image: registry\.example\/.*/g, `image: ${MAPS}\n    command: ${JSON.stringify(SLEEP)}`)
    .replaceAll(/^ +args: .*\n/gm, '');
}

/** Applies a manifest as it is, waits for its pods, and deletes everything at the end. */
async function withExample(manifest: string, use: () => Promise<void>): Promise<void> {
  const objects = parseManifest(manifest);
  try {
    await cluster.apply(manifest);
    for (const { kind, metadata } of objects) {
      if (kind !== 'Pod') continue;
      const namespace = `--namespace=${metadata.namespace}`;
      await cluster.kubectl('wait', '--for=condition=Ready', '--timeout=60s', namespace, `pod/${metadata.name}`);
    }
    await use();
  } catch (error) {
    // Before everything is deleted.
    throw new Error(`see ${await saveEvidence(cluster, `example ${objects[0]?.metadata.name}`)}`, { cause: error });
  } finally {
    for (const { kind, metadata } of objects.toReversed()) {
      const namespace = metadata.namespace === undefined ? [] : [`--namespace=${metadata.namespace}`];
      const flags = ['--ignore-not-found', '--grace-period=0', '--timeout=60s'];
      await cluster.kubectl('delete', kind, metadata.name, ...namespace, ...flags);
    }
  }
}

const exec = (pod: string, ...command: readonly string[]) => {
  const [name = '', container = ''] = pod.split('/');
  return cluster.kubectl('exec', name, ...(container ? [`--container=${container}`] : []), '--', ...command);
};
const read = (pod: string, path: string) => exec(pod, 'map', 'read', path);

test('inline-read-only.yaml', async () => {
  await withExample(await example('inline-read-only.yaml'), async () => {
    assert.equal(await read('flow-collector', '/maps/flows'), '7=42');
    await assert.rejects(exec('flow-collector', 'map', 'write', '/maps/flows', '7', '1'), /EROFS/);
  });
});

test('inline-read-write.yaml', async () => {
  await using _ = await startLimiter();
  await withExample(await example('inline-read-write.yaml'), async () => {
    assert.match(await exec('limiter', 'stat', '-c', '%a %g', '/maps/flows', '/maps/limits'), /^440 2000\n660 2000$/);
    assert.equal(await read('limiter', '/maps/flows'), '7=42');
    await assert.rejects(exec('limiter', 'map', 'write', '/maps/flows', '7', '1'), /EROFS/);
    await exec('limiter', 'map', 'write', '/maps/limits', '1', '10');
    assert.equal(await read('limiter', '/maps/limits'), '1=10');
  });
});

test('storageclass-maps.yaml', async () => {
  await withExample(await example('storageclass-maps.yaml'), async () => {
    assert.equal(await read('flow-collector', '/maps/flows'), '7=42');
    await assert.rejects(exec('flow-collector', 'map', 'write', '/maps/flows', '7', '1'), /EROFS/);
  });
});

test('storageclass-shared.yaml', async () => {
  await withExample(await example('storageclass-shared.yaml'), async () => {
    const [key, value] = ['00112233445566778899aabbccddeeff', '0102030405060708'];
    await exec('producer', 'cilium', '--update', `${key}=${value}`, '/maps', 'counters');
    assert.equal(await exec('consumer', 'cilium', '/maps', 'counters'), `${key} ${value}`);
    await exec('consumer', 'cilium', '--update', `${key}=${value}`, '--expect-denied', '/maps', 'counters');
  });
});

test('storageclass-workspace.yaml', async () => {
  // The loader pins one map, under its own name.
  const manifest = await example('storageclass-workspace.yaml', { 'path: flows': 'path: example_map' });
  const waiting = manifest.replace(
    `command: ${JSON.stringify(SLEEP)}`,
    `command: [sh, -c, 'loader -once /workspace && exec sleep infinity']`,
  );
  await withExample(waiting, async () => {
    // It may have started before the loader pinned anything.
    const seen = async () => (await exec('viewer', 'ls', '/maps')).includes('example_map');
    await eventually('the viewer finds what the loader pinned', WITHIN_S, seen);
    assert.equal(await exec('viewer', 'consumer', '/maps'), '0 1');
    const [key, value] = ['00000000', '0100000000000000'];
    const collect = ['cilium', '/maps', 'flows'];
    const collector = ['exec', 'flow-collector', '--namespace=observability', '--', ...collect];
    assert.equal(await cluster.kubectl(...collector), `${key} ${value}`);
    assert.equal(await exec('loader', 'loader', '-once', '/workspace'), '0 2');
    assert.equal(await exec('viewer', 'consumer', '/maps'), '0 2');
  });
});

test('generic-ephemeral.yaml', async () => {
  await withExample(await example('generic-ephemeral.yaml'), async () => {
    for (const container of ['source', 'sink']) {
      assert.equal(await exec(`pipeline/${container}`, 'stat', '-c', '%a %g', '/maps/events'), '660 2000');
      // It is opened for writing; the push itself fails, because a queue has no keys.
      const push = exec(`pipeline/${container}`, 'map', 'write', '/maps/events', '1', '1');
      await assert.rejects(push, /MAP_UPDATE_ELEM.*EINVAL/);
    }
    assert.equal(await cluster.kubectl('get', 'pvc/pipeline-maps', '--output=jsonpath={.status.phase}'), 'Bound');
  });
});
