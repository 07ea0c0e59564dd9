import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mountOf } from './mounts.ts';

const TABLE = `\
20 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
21 20 254:1 / /var rw,relatime - ext4 /dev/vdb rw
22 21 254:1 /k /var/lib/kubelet rw,relatime master:3 shared:7 - ext4 /dev/vdb rw
`;

test('a path is on the longest mount point above it', () => {
  assert.deepEqual(mountOf('/var/lib/kubelet/pods', TABLE), { point: '/var/lib/kubelet', isShared: true });
  assert.deepEqual(mountOf('/var/lib/kubelet2', TABLE), { point: '/var', isShared: false });
  assert.deepEqual(mountOf('/etc', TABLE), { point: '/', isShared: true });
});

test('a later mount on the same point covers the earlier one', () => {
  const table = `${TABLE}23 22 0:9 / /var/lib/kubelet rw - tmpfs shared: rw\n`;
  assert.deepEqual(mountOf('/var/lib/kubelet', table), { point: '/var/lib/kubelet', isShared: false });
});
