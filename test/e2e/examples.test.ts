import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { eventually } from '../cluster/eventually.ts';
import { parseManifest } from '../deploy/helm.ts';
import { matches, runAsReader, stepsOfManifest } from './documented.ts';
import { cluster, WITHIN_S } from './running.ts';

const DIRECTORY = 'deploy/examples';
const ROOT = join(import.meta.dirname, '../..');
const files = readdirSync(join(ROOT, DIRECTORY)).map((name) => `${DIRECTORY}/${name}`);

const run = async (command: string) => (await runAsReader(cluster, command)).all;

async function waitForPods(file: string): Promise<void> {
  for (const { kind, metadata } of parseManifest(await readFile(join(ROOT, file), 'utf8'))) {
    if (kind !== 'Pod') continue;
    const flags = ['--for=condition=Ready', '--timeout=60s', `--namespace=${metadata.namespace}`];
    await cluster.kubectl('wait', ...flags, `pod/${metadata.name}`);
  }
}

describe(DIRECTORY, () => {
  after(() => run(`kubectl delete --ignore-not-found --wait -f ${DIRECTORY}`));

  for (const file of files) {
    test(`${file} prints what it says`, async () => {
      const [apply, ...reads] = await stepsOfManifest(file);
      assert.equal(apply?.command, `kubectl apply -f ${file}`);
      assert.ok(reads.length > 0);
      assert.doesNotMatch(await run(apply.command), /error|warning/i);
      await waitForPods(file);
      for (const { command, output } of reads) {
        await eventually(`$ ${command} prints ${output}`, WITHIN_S, async () => {
          const said = await run(command);
          return matches(said, output ?? '') || assert.fail(`it printed ${said}`);
        });
      }
    });
  }

  test('no file changes what another one has made', async () => {
    assert.equal(await run(`kubectl diff -f ${DIRECTORY}`), '');
  });

  const denied = [
    ['example-read-only reader', '/maps/packets'],
    ['example-read-write writer', '/maps/settings'],
    ['example-selinux reader', '/maps/packets'],
    ['example-claim collector', '/maps/flows'],
    ['example-shared consumer', '/maps/counters'],
    ['example-loader viewer', '/maps/flows'],
    ['example-collector collector', '/maps/flows'],
    ['example-agent-reader reader', '/maps/flows'],
  ] as const;
  for (const [pod, map] of denied) {
    test(`${pod} may only read ${map}`, async () => {
      assert.match(await run(`kubectl exec --namespace=${pod} -- map write ${map} 1 1`), /OBJ_GET, rw.*EROFS/);
    });
  }

  test('the loader uses its pin again after a restart', async () => {
    const read = () => run('kubectl exec --namespace=example-collector collector -- map read /maps/flows');
    const counted = async () => Number(/^1=(\d+)$/.exec(await read())?.[1]);
    const before = await counted();
    await run('kubectl delete pod --namespace=example-loader loader --wait');
    await run(`kubectl apply -f ${DIRECTORY}/storageclass-workspace.yaml`);
    await eventually('the loader goes on counting', WITHIN_S, async () => (await counted()) > before);
  });
});
