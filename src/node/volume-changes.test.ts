import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BpfMap } from '../maps/catalog.ts';
import { type FileChange, FileChange_Kind as Kind } from '../rpc/pinner.ts';
import type { BpfMaps } from './publish-outcome.ts';
import { toVolumeChanges } from './volume-changes.ts';

const targetPath = '/var/lib/kubelet/pods/1/volumes/kubernetes.io~csi/maps/mount';
const SEEN =
  'Containers with mountPropagation: HostToContainer see it now; others keep what they had, also for writing, until they restart. What a process has open stays open.';
const GONE = 'is not granted any more, or no BpfMap has this fileName';
const UNKNOWN = { last: new Map(), ever: new Map() };

/** From texts such as "flows", "flows=file", "flows=file@source". */
function bpfMaps(...maps: readonly string[]): BpfMaps {
  return new Map(
    maps.map((text) => {
      const [name = '', fileName = name, path = name] = text.split(/[=@]/);
      const source: BpfMap['source'] = { kind: 'node', source: { pinned: { path } } };
      return [name, { name, fileName, maxAccess: 'ReadWrite', source }];
    }),
  );
}

const toChanges = (changes: readonly FileChange[], last: BpfMaps, now: BpfMaps, ever: BpfMaps = last) =>
  toVolumeChanges({ type: 'maps', targetPath }, changes, { last, ever }, now).map(({ reason, note, files }) => {
    assert(note.startsWith('In volume "maps", ') && note.endsWith(`. ${SEEN}`), note);
    return [reason, note.slice('In volume "maps", '.length, -`. ${SEEN}`.length), files];
  });

test('one note for each reason, however many files', () => {
  const last = bpfMaps('flows', 'limits', 'keys', 'rules', 'stats');
  const now = bpfMaps('flows', 'limits', 'rules', 'drops', 'stats');
  const changes = [
    { path: 'flows', kind: Kind.MAP_REPLACED },
    { path: 'limits', kind: Kind.MAP_REPLACED },
    { path: 'keys', kind: Kind.REMOVED },
    { path: 'rules', kind: Kind.MADE_READ_ONLY },
    { path: 'drops', kind: Kind.ADDED },
    { path: 'stats', kind: Kind.MADE_WRITABLE },
  ];
  assert.deepEqual(toChanges(changes, last, now, bpfMaps('flows', 'limits', 'keys', 'rules', 'drops', 'stats')), [
    ['MapReplaced', '"flows", "limits" became another map at its source', 2],
    ['MapAccessRevoked', `"keys" ${GONE}, "rules" may only be read now`, 2],
    ['MapAccessRestored', '"drops" is granted again, "stats" may be written again', 2],
  ]);
});

test('a BpfMap recreated with a new source is a different map, even if it was missing in between', () => {
  const [before, now] = [bpfMaps('flows=flows@old'), bpfMaps('flows=flows@new')];
  const redefined = [['MapReplaced', '"flows" is another map, because its BpfMap has another source', 1]];
  assert.deepEqual(toChanges([{ path: 'flows', kind: Kind.MAP_REPLACED }], before, now), redefined);
  assert.deepEqual(toChanges([{ path: 'flows', kind: Kind.REMOVED }], before, bpfMaps()), [
    ['MapAccessRevoked', `"flows" ${GONE}`, 1],
  ]);
  assert.deepEqual(toChanges([{ path: 'flows', kind: Kind.ADDED }], bpfMaps(), now, before), redefined);
  assert.deepEqual(toChanges([{ path: 'flows', kind: Kind.ADDED }], bpfMaps(), before, before), [
    ['MapAccessRestored', '"flows" is granted again', 1],
  ]);
});

test('a changed fileName is reported as a rename', () => {
  const renamed = (from: string, to: string) => `"${from}" is called "${to}"`;
  const NOW = 'now, by the fileName of its BpfMap';
  const [added, removed] = [Kind.ADDED, Kind.REMOVED].map((kind) => (path: string) => ({ path, kind })) as [
    (path: string) => FileChange,
    (path: string) => FileChange,
  ];
  const replaced = (path: string) => ({ path, kind: Kind.MAP_REPLACED });
  assert.deepEqual(toChanges([added('new'), removed('old')], bpfMaps('flows=old'), bpfMaps('flows=new')), [
    ['MapRenamed', `${renamed('old', 'new')} ${NOW}`, 1],
  ]);
  // The source is missing: the old file is not kept, and there is none with the new name.
  assert.deepEqual(toChanges([removed('old')], bpfMaps('flows=old'), bpfMaps('flows=new')), [
    ['MapRenamed', `${renamed('old', 'new')} ${NOW}`, 1],
  ]);
  assert.deepEqual(toChanges([replaced('x'), replaced('y')], bpfMaps('a=x', 'b=y'), bpfMaps('a=y', 'b=x')), [
    ['MapRenamed', `${renamed('x', 'y')}, ${renamed('y', 'x')} ${NOW}`, 2],
  ]);
  assert.deepEqual(toChanges([replaced('x'), removed('y')], bpfMaps('a=x', 'b=y'), bpfMaps('b=x')), [
    ['MapRenamed', `${renamed('y', 'x')} ${NOW}`, 1],
    ['MapAccessRevoked', `"x" ${GONE}`, 1],
  ]);
});

test('after a restart of the node plugin, notes say no more than is known', () => {
  const changes = [Kind.MAP_REPLACED, Kind.ADDED, Kind.REMOVED].map((kind) => ({ path: `file-${kind}`, kind }));
  assert.deepEqual(toChanges(changes, bpfMaps(), bpfMaps(`a=file-${Kind.MAP_REPLACED}`, `b=file-${Kind.ADDED}`)), [
    ['MapReplaced', `"file-${Kind.MAP_REPLACED}" became another map at its source`, 1],
    ['MapAccessRevoked', `"file-${Kind.REMOVED}" ${GONE}`, 1],
    ['MapAccessRestored', `"file-${Kind.ADDED}" is there again, perhaps as another map than before`, 1],
  ]);
});

test('a note names some files and counts the others: an event holds 1,024 bytes', () => {
  const all = Array.from({ length: 256 }, (_, index) => ({ path: `m${index}`.padEnd(60, 'x'), kind: Kind.REMOVED }));
  const [change] = toVolumeChanges({ type: 'maps', targetPath }, all, UNKNOWN, new Map());
  assert.match(change?.note ?? '', /"m7x+", 248 more is not granted/);
  assert((change?.note.length ?? 0) < 1024);
  assert.equal(change?.files, 256);
});

test('pins that come and go in a workspace are no change of access', () => {
  const changes = toVolumeChanges(
    { type: 'workspace', targetPath },
    [
      { path: 'agent/flows', kind: Kind.ADDED },
      { path: 'agent/old', kind: Kind.REMOVED },
    ],
    UNKNOWN,
    new Map(),
  );
  assert.deepEqual(
    changes.map(({ reason }) => reason),
    ['MapReplaced'],
  );
  assert.match(changes[0]?.note ?? '', /"agent\/flows" was pinned, "agent\/old" was unpinned\./);
});
