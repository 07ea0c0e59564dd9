import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { execa } from 'execa';
import { pod, withNode } from './node.ts';

test('a map that the driver has made is given up once no volume has it', async () => {
  await withNode(async (node) => {
    const [command, endpoint] = [join('bin', 'csi-driver-bpffs'), `unix://${node.pinnerSocket}`];
    const release = () => execa(command, ['release-map', 'limits', '--pinner-endpoint', endpoint], { reject: false });
    const kept = join(node.storeDirectory, 'created', 'limits');
    const user = pod('limits:rw');
    await node.kubelet.publish(user);
    assert.ok(existsSync(kept));
    const refused = await release();
    assert.equal(refused.exitCode, 1);
    assert.match(refused.stderr, /^csi-driver-bpffs: map "limits" is in the volume .* end the pod that has it$/);
    assert.ok(existsSync(kept));

    await node.kubelet.unpublish(user);
    for (let time = 0; time < 2; time += 1) {
      const released = await release();
      assert.equal(released.exitCode, 0, released.stderr);
      assert.ok(!existsSync(kept));
    }
    await node.kubelet.publish(user);
    assert.ok(existsSync(kept));
    await node.kubelet.unpublish(user);
  });
});
