import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { execa } from 'execa';
import { withNode } from './node.ts';

/** These make their volume with CreateVolume, which is the controller's. */
const NEED_A_CONTROLLER = [
  'should fail when volume with single node single writer access mode is already mounted at a different target path',
  'should remove target path',
  'should fail when volume does not exist on the specified path',
];

test('csi-sanity finds nothing wrong with the Identity and Node services', async () => {
  await withNode(async ({ csiSocket, kubeletDirectory }) => {
    const { stdout } = await execa('test/conformance/bin/csi-sanity', [
      ...['--csi.endpoint', csiSocket, '--ginkgo.no-color'],
      ...['--csi.mountdir', join(kubeletDirectory, 'sanity'), '--csi.stagingdir', join(kubeletDirectory, 'staging')],
      ...['--ginkgo.focus', 'Identity Service|Node Service', '--ginkgo.skip', NEED_A_CONTROLLER.join('|')],
    ]);
    assert.match(stdout, /[1-9]\d* Passed \| 0 Failed/);
  });
});
