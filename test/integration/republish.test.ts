import assert from 'node:assert/strict';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { execa } from 'execa';
import type { Pod } from '../../src/cli/kubelet.ts';
import { end, type LocalNode } from '../../src/cli/local-node.ts';
import { eventually } from '../cluster/eventually.ts';
import { asPod, claim, claimant, mapProgram, pod, withNode } from './node.ts';

/** What the pods here may do, by map. */
const grants = (rules: Readonly<Record<string, readonly string[]>>) =>
  JSON.stringify({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name: 'maps' },
    rules: Object.entries(rules).map(([name, verbs]) => ({
      apiGroups: ['bpffs.dev'],
      resources: ['bpfmaps'],
      resourceNames: [name],
      verbs,
    })),
  });
const BINDING = JSON.stringify({
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'ClusterRoleBinding',
  metadata: { name: 'maps' },
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'maps' },
  subjects: [{ kind: 'ServiceAccount', name: 'app', namespace: 'prod' }],
});

const grant = ({ grantsFile }: LocalNode, rules: Readonly<Record<string, readonly string[]>>) =>
  writeFile(grantsFile, `${grants(rules)}\n---\n${BINDING}\n`);

/** Publishes again, as the kubelet does about every minute, until the volume has these files. */
async function republishUntil({ kubelet }: LocalNode, running: Pod, ...files: readonly string[]): Promise<void> {
  await eventually(`the volume has ${files}`, 10, async () => {
    await kubelet.publish(running);
    // Kernels that list all maps of the host add a file, which is covered by an empty one.
    const names = (await readdir(kubelet.volumePath(running))).filter((name) => !name.endsWith('.debug'));
    return names.sort().join() === files.join();
  });
}

const canWrite = async (file: string) =>
  await asPod(mapProgram, ['write', file, '7', '7']).then(
    () => true,
    () => false,
  );
const canRead = async (file: string) =>
  await asPod(mapProgram, ['read', file]).then(
    () => true,
    () => false,
  );

test('a grant that is withdrawn and given again is acted on while the pod runs', async () => {
  await withNode(async (node) => {
    const running = pod('flows, limits:rw');
    const target = node.kubelet.volumePath(running);
    await node.kubelet.publish(running);
    assert.equal(await canWrite(join(target, 'limits')), true);

    await grant(node, { limits: ['read', 'write'] });
    await republishUntil(node, running, 'limits');
    assert.equal(await canWrite(join(target, 'limits')), true);

    await grant(node, { flows: ['read'], limits: ['read'] });
    await republishUntil(node, running, 'flows', 'limits');
    assert.equal(await canWrite(join(target, 'limits')), false);
    assert.equal(await canRead(join(target, 'limits')), true);

    await grant(node, {});
    await republishUntil(node, running);
    await grant(node, { flows: ['read'], limits: ['read', 'write'] });
    await republishUntil(node, running, 'flows', 'limits');
    assert.equal(await canWrite(join(target, 'limits')), true);

    // However often: the newest generation, and the first, which containers that do not follow mounts keep.
    const { stdout } = await execa('findmnt', ['--noheadings', '--output', 'TARGET', '--list']);
    assert.equal(stdout.split('\n').filter((line) => line === target).length, 2);
    await node.kubelet.unpublish(running);
  });
});

test('beside a workspace, what may not be written any more cannot stay to be read', async () => {
  await withNode(async (node) => {
    const workspace = await claim(node, 'workspace', { type: 'workspace' });
    const running = pod('limits:rw');
    await node.kubelet.publish(claimant(workspace, { name: running.name }));
    await node.kubelet.publish(running);
    await grant(node, { limits: ['read'] });
    await republishUntil(node, running);
    await grant(node, { limits: ['read', 'write'] });
    await republishUntil(node, running, 'limits');
  });
});

test('a source that goes away takes no map from a running pod, and a new one is in the volume at the next look', async () => {
  await withNode(async (node) => {
    const running = pod('flows');
    const target = node.kubelet.volumePath(running);
    await node.kubelet.publish(running);
    await rm(join(node.pins, 'flows'));
    await republishUntil(node, running, 'flows');
    assert.equal(await canRead(join(target, 'flows')), true);
    await execa(mapProgram, ['create', join(node.pins, 'flows')]);
    await execa(mapProgram, ['write', join(node.pins, 'flows'), '2', '200']);
    await republishUntil(node, running, 'flows');
    assert.match((await asPod(mapProgram, ['read', join(target, 'flows')])).stdout, /2=200/);
  });
});

test('a file that is kept for want of its source is neither another map nor of more access', async () => {
  await withNode(async (node, directory) => {
    const bpfMap = (name: string, fileName: string, pin: string) =>
      JSON.stringify({
        apiVersion: 'bpffs.dev/v1alpha1',
        kind: 'BpfMap',
        metadata: { name },
        spec: { source: { pinned: { path: join(node.pins, pin) } }, fileName, maxAccess: 'ReadWrite' },
      });
    const define = (...maps: readonly string[]) => writeFile(node.catalogFile, maps.join('\n---\n'));
    const files = async () => (await readdir(node.kubelet.volumePath(running))).sort();
    const running = pod('v1, v2:rw');
    const file = (name: string) => join(node.kubelet.volumePath(running), name);
    await execa(mapProgram, ['create', join(node.pins, 'limits')]);
    await grant(node, { v1: ['read'], v2: ['read', 'write'] });
    await define(bpfMap('v1', 'v1', 'flows'), bpfMap('v2', 'v2', 'limits'));
    await eventually('both are known', 10, () => node.kubelet.publish(running).then(() => true));
    assert.deepEqual([await canWrite(file('v1')), await canWrite(file('v2'))], [false, true]);

    // A file name passes from one map to another whose source is gone: neither gets the file.
    await rm(join(node.pins, 'limits'));
    await define(bpfMap('v2', 'v1', 'limits'));
    await republishUntil(node, running);
    await execa(mapProgram, ['create', join(node.pins, 'limits')]);
    await republishUntil(node, running, 'v1');
    assert.equal(await canWrite(file('v1')), true);

    // Both want one file: the one that has it keeps it, in whatever order they are requested.
    await define(bpfMap('v1', 'v1', 'flows'), bpfMap('v2', 'v1', 'limits'));
    await eventually('that is told', 10, async () => {
      await node.kubelet.publish(running);
      return (await readFile(join(directory, 'node-plugin.log'), 'utf8')).includes('"reason":"fileName"');
    });
    assert.deepEqual(await files(), ['v1']);
    assert.equal(await canWrite(file('v1')), true);

    // Once write access is withdrawn, it does not come back before the source does.
    await define(bpfMap('v2', 'v1', 'limits'));
    await grant(node, { v2: ['read'] });
    await eventually('it is for reading', 10, async () => {
      await node.kubelet.publish(running);
      return !(await canWrite(file('v1')));
    });
    await rm(join(node.pins, 'limits'));
    await grant(node, { v2: ['read', 'write'] });
    await end(node.nodePlugin(), 'SIGKILL');
    node.startNodePlugin();
    await node.ready();
    await node.kubelet.publish(running);
    assert.deepEqual([await canRead(file('v1')), await canWrite(file('v1'))], [true, false]);
    await node.kubelet.unpublish(running);
  });
});
