import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { execa } from 'execa';
import type { Pod } from '../../src/cli/kubelet.ts';
import { end } from '../../src/cli/local-node.ts';
import { CallError, Code } from '../../src/errors.ts';
import type { NodePublishVolumeRequest } from '../../src/rpc/csi.ts';
import { mapProgram, pod, withNode } from './node.ts';

interface Answer {
  readonly what: string;
  readonly pod: Pod;
  readonly change?: (request: NodePublishVolumeRequest) => void;
  readonly code: Code;
  readonly message: RegExp;
}

const capability = (change: Partial<NonNullable<NodePublishVolumeRequest['volumeCapability']>>) => {
  return (request: NodePublishVolumeRequest) => Object.assign(request.volumeCapability ?? {}, change);
};

// What a pod's author or an administrator sees of both processes together; each side's own tests go into detail.
const ANSWERS: readonly Answer[] = [
  {
    what: 'an unknown attribute',
    pod: pod('flows', { volumeAttributes: { maps: 'flows', map: 'flows' } }),
    code: Code.INVALID_ARGUMENT,
    message: /^volumeAttributes\.map: unknown attribute.*maps/,
  },
  { what: 'no maps', pod: pod(''), code: Code.INVALID_ARGUMENT, message: /^volumeAttributes\.maps: / },
  {
    what: 'bad map syntax',
    pod: pod('flows:w'),
    code: Code.INVALID_ARGUMENT,
    message: /^volumeAttributes\.maps: .*flows/,
  },
  {
    what: 'a read-only volume with a writable map',
    pod: pod('limits:rw', { readOnly: true }),
    code: Code.INVALID_ARGUMENT,
    message: /^readOnly: .*limits/,
  },
  {
    what: 'no volume id',
    pod: pod('flows'),
    change: (request) => Object.assign(request, { volumeId: '' }),
    code: Code.INVALID_ARGUMENT,
    message: /^volume_id: /,
  },
  {
    what: 'no target path',
    pod: pod('flows'),
    change: (request) => Object.assign(request, { targetPath: '' }),
    code: Code.INVALID_ARGUMENT,
    message: /^target_path: /,
  },
  {
    what: 'a target outside the kubelet directory',
    pod: pod('flows'),
    change: (request) => Object.assign(request, { targetPath: '/etc/maps' }),
    code: Code.INVALID_ARGUMENT,
    message: /^target_path: \/etc\/maps is not beneath the kubelet's directory/,
  },
  {
    what: 'no capability',
    pod: pod('flows'),
    change: (request) => Object.assign(request, { volumeCapability: null }),
    code: Code.INVALID_ARGUMENT,
    message: /^volume_capability: /,
  },
  {
    what: 'a block volume',
    pod: pod('flows'),
    change: capability({ mount: null, block: {} }),
    code: Code.INVALID_ARGUMENT,
    message: /^volumeMode: Block/,
  },
  {
    what: 'an unsupported access mode',
    pod: pod('flows'),
    change: capability({ accessMode: { mode: 5 } }),
    code: Code.INVALID_ARGUMENT,
    message: /^accessModes: ReadWriteMany/,
  },
  { what: 'a map not in the catalog', pod: pod('flow'), code: Code.NOT_FOUND, message: /flow.*flows/ },
  {
    what: 'a map without a grant',
    pod: pod('ungranted'),
    code: Code.PERMISSION_DENIED,
    message: /ungranted.*read|read.*ungranted/,
  },
  {
    what: 'a grant of another namespace',
    pod: pod('flows', { namespace: 'dev' }),
    code: Code.PERMISSION_DENIED,
    message: /system:serviceaccount:dev:app/,
  },
  { what: 'writing above maxAccess', pod: pod('flows:rw'), code: Code.PERMISSION_DENIED, message: /flows.*ReadOnly/ },
  {
    what: 'a pin that is missing',
    pod: pod('later'),
    code: Code.UNAVAILABLE,
    message: /map "later": nothing is pinned at/,
  },
  {
    what: 'a program that is not loaded',
    pod: pod('unloaded'),
    code: Code.UNAVAILABLE,
    message: /"nobody" is loaded yet/,
  },
  {
    what: 'an ambiguous source',
    pod: pod('twins'),
    code: Code.FAILED_PRECONDITION,
    message: /\d maps .*id \d+.*id \d+/,
  },
  { what: 'a pin that is no map', pod: pod('directory'), code: Code.FAILED_PRECONDITION, message: /is a directory/ },
];

test('every refusal has its code, says what to mend and leaves nothing', async (t) => {
  await withNode(async (node) => {
    const { kubelet } = node;
    await mkdir(join(node.pins, 'directory'));
    // All maps of the program have the same name in the kernel.
    await execa(mapProgram, ['create', join(node.pins, 'twin')]);
    for (const { what, pod, change, code, message } of ANSWERS) {
      await t.test(what, async () => {
        await assert.rejects(kubelet.publish(pod, change), (error: unknown) => {
          assert.ok(error instanceof CallError);
          assert.equal(Code[error.code], Code[code], error.message);
          assert.match(error.message, message);
          return true;
        });
        assert.equal(existsSync(dirname(kubelet.volumePath(pod))), false);
      });
    }

    await t.test('published before with other access, group or maps', async () => {
      const before = pod('flows, limits:rw');
      await kubelet.publish(before);
      await kubelet.publish(before);
      // The volume itself records what was asked for, not the node plugin.
      await end(node.nodePlugin(), 'SIGKILL');
      node.startNodePlugin();
      await node.ready();
      for (const change of [
        { volumeAttributes: { maps: 'flows, limits' } },
        { fsGroup: 2000 },
        { volumeAttributes: { maps: 'flows' } },
        { volumeAttributes: { ...before.volumeAttributes, hostUsers: 'false' } },
      ]) {
        await assert.rejects(kubelet.publish({ ...before, ...change }), { code: Code.ALREADY_EXISTS });
      }
      await kubelet.unpublish(before);
      await kubelet.unpublish(before);
      await assert.rejects(kubelet.stats(before), { code: Code.NOT_FOUND });
    });

    await t.test('a pinner that is away', async () => {
      const late = pod('flows');
      await end(node.pinner(), 'SIGKILL');
      assert.equal(await kubelet.probe(), false);
      await assert.rejects(kubelet.publish(late), { code: Code.UNAVAILABLE, message: /^pinner at .* does not answer/ });
      node.startPinner();
      await node.ready();
      await kubelet.publish(late);
      const { stdout } = await execa(mapProgram, ['read', join(kubelet.volumePath(late), 'flows')]);
      assert.equal(stdout, '1=100');
      await kubelet.unpublish(late);
    });
  });
});
