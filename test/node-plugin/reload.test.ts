import assert from 'node:assert/strict';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { CATALOG, call, GRANTS, type Harness, publishRequest, startHarness, until } from './harness.ts';

let volumes = 0;

/** Publishes for a new pod. */
async function publish({ node }: Harness, maps: string): Promise<string> {
  const request = publishRequest((r) => {
    r.volumeId = `csi-${volumes++}`;
    r.targetPath = `/var/lib/kubelet/${r.volumeId}`;
    r.volumeContext.maps = maps;
  });
  return (await call(node, node.nodePublishVolume, request)).code;
}

const reloads = async ({ http }: Harness, file: string) =>
  new RegExp(`^bpffs_file_reload_success\\{file="${file}"\\} (\\d)$`, 'm').exec(
    await (await fetch(`${http}/metrics`)).text(),
  )?.[1];

test('a new catalog counts without a restart; a bad one does not, and says so', async () => {
  await using harness = await startHarness();
  const { files, log } = harness;
  assert.equal(await publish(harness, 'limits-new'), 'NOT_FOUND');
  const entry =
    '\n---\napiVersion: bpffs.dev/v1alpha1\nkind: BpfMap\nmetadata: { name: limits-new }\nspec: { source: { pinned: { path: /sys/fs/bpf/new } } }\n';
  writeFileSync(`${files.catalog}.new`, CATALOG + entry);
  renameSync(`${files.catalog}.new`, files.catalog);
  await until('the new map is known', async () => (await publish(harness, 'limits-new')) === 'PERMISSION_DENIED');

  writeFileSync(files.catalog, CATALOG.replace('ReadWrite', 'ReadMostly'));
  await until('the bad catalog is seen', async () => (await reloads(harness, 'catalog')) === '0');
  assert.equal(await publish(harness, 'limits-new'), 'PERMISSION_DENIED');
  const line = log.find(({ message }) => message === 'bad catalog; the one before stays in use');
  assert.equal(line?.level, 'ERROR');
  assert.match(
    String(line?.problems),
    /catalog\.yaml:10:\d+: spec\.maxAccess: "ReadMostly" is none of ReadOnly, ReadWrite/,
  );

  rmSync(files.catalog);
  await until('its absence is seen', () => log.some(({ problems }) => String(problems).includes('cannot read')));
  assert.equal(await publish(harness, 'flows'), 'OK');
  writeFileSync(files.catalog, CATALOG);
  await until('the good catalog is seen', async () => (await reloads(harness, 'catalog')) === '1');
  assert.equal(await publish(harness, 'limits-new'), 'NOT_FOUND');
});

test('a withdrawn and a new grant count without a restart', async () => {
  await using harness = await startHarness();
  const { files } = harness;
  assert.equal(await publish(harness, 'keys:rw'), 'PERMISSION_DENIED');
  writeFileSync(
    files.grants,
    GRANTS.replace('resourceNames: [keys], verbs: [read]', 'resourceNames: [keys], verbs: ["*"]'),
  );
  await until('the grant counts', async () => (await publish(harness, 'keys:rw')) === 'OK');
  writeFileSync(files.grants, '');
  await until('no grant is left', async () => (await publish(harness, 'keys')) === 'PERMISSION_DENIED');
});
