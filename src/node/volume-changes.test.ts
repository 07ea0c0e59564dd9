import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FileChange_Kind as Kind } from '../rpc/generated/pinner.ts';
import { toVolumeChanges } from './volume-changes.ts';

const targetPath = '/var/lib/kubelet/pods/1/volumes/kubernetes.io~csi/maps/mount';
const SEEN =
  'Containers with mountPropagation: HostToContainer see it now, others when they restart; what a process has open stays open.';

test('one note for each reason, however many files', () => {
  const changes = toVolumeChanges({ type: 'maps', targetPath }, [
    { path: 'flows', kind: Kind.MAP_REPLACED },
    { path: 'limits', kind: Kind.MAP_REPLACED },
    { path: 'keys', kind: Kind.REMOVED },
    { path: 'rules', kind: Kind.MADE_READ_ONLY },
    { path: 'drops', kind: Kind.ADDED },
    { path: 'stats', kind: Kind.MADE_WRITABLE },
  ]);
  assert.deepEqual(changes, [
    {
      reason: 'MapReplaced',
      note: `In volume "maps", "flows", "limits" became another map at its source. ${SEEN}`,
      files: 2,
    },
    {
      reason: 'MapAccessRevoked',
      note: `In volume "maps", "keys" is not granted any more, or has no BpfMap, "rules" may only be read now. ${SEEN}`,
      files: 2,
    },
    {
      reason: 'MapAccessRestored',
      note: `In volume "maps", "drops" is granted again, "stats" may be written again. ${SEEN}`,
      files: 2,
    },
  ]);
});

test('a note names some files and counts the others: an event holds 1,024 bytes', () => {
  const all = Array.from({ length: 256 }, (_, index) => ({ path: `m${index}`.padEnd(60, 'x'), kind: Kind.REMOVED }));
  const [change] = toVolumeChanges({ type: 'maps', targetPath }, all);
  assert.match(change?.note ?? '', /"m7x+", 248 more is not granted/);
  assert((change?.note.length ?? 0) < 1024);
  assert.equal(change?.files, 256);
});

test('what comes and goes in a workspace is granted to nobody, and revoked from nobody', () => {
  const changes = toVolumeChanges({ type: 'workspace', targetPath }, [
    { path: 'agent/flows', kind: Kind.ADDED },
    { path: 'agent/old', kind: Kind.REMOVED },
  ]);
  assert.deepEqual(
    changes.map(({ reason }) => reason),
    ['MapReplaced'],
  );
  assert.match(changes[0]?.note ?? '', /"agent\/flows" was pinned, "agent\/old" was unpinned\./);
});
