import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { NodePublishVolumeRequest, Volume } from './csi.ts';
import { ControllerService, NodeService } from './csi.ts';
import { PinnerService } from './pinner.ts';

const { NodePublishVolume, NodeStageVolume, NodeGetInfo } = await NodeService.definition();
const { CreateVolume } = await ControllerService.definition();
const { PublishVolume, GetVolumeStats } = await PinnerService.definition();

const REQUEST: NodePublishVolumeRequest = {
  volumeId: 'csi-1',
  publishContext: {},
  stagingTargetPath: '/staging',
  targetPath: '/target',
  volumeCapability: {
    mount: { fsType: 'bpf', mountFlags: ['a', 'b'], volumeMountGroup: '7' },
    accessMode: { mode: 7 },
  },
  readonly: true,
  secrets: { token: 'hidden' },
  volumeContext: { maps: 'flöws', '': '' },
};
const BYTES = NodePublishVolume.requestSerialize(REQUEST);
const read = (...bytes: readonly number[]) => NodePublishVolume.requestDeserialize(Buffer.from(bytes));

/** What was sent of a value: each part of it as it is in the whole, or not there. */
function isPartOf(part: unknown, whole: unknown): boolean {
  if (typeof part !== 'object') return part === whole || part === '' || part === false || part === 0;
  return (
    part === null ||
    Object.entries(part).every(([key, value]) => isPartOf(value, (whole as Record<string, unknown>)[key]))
  );
}

test('a message comes out as it went in', () => {
  assert.deepEqual(NodePublishVolume.requestDeserialize(BYTES), REQUEST);
});

test('of a message that was cut, nothing is read but whole fields', () => {
  let read = 0;
  for (let length = 0; length < BYTES.length; length++) {
    try {
      const part = NodePublishVolume.requestDeserialize(BYTES.subarray(0, length));
      assert.ok(isPartOf(part, REQUEST), `${length} bytes: ${JSON.stringify(part)}`);
      read += 1;
    } catch (error) {
      assert(error instanceof RangeError, `${length} bytes: ${error}`);
    }
  }
  // Nothing, and what ends with one of its fields but the last; two maps have two entries each, or one.
  assert.equal(read, 8);
});

describe('what is no message throws', () => {
  const cases: Readonly<Record<string, readonly number[]>> = {
    'a text that is longer than the message': [0x0a, 3, 0x61],
    'a text that is longer than the message within': [0x2a, 4, 0x12, 2, 0x0a, 9, 0x12, 2, 0x08, 0x01],
    'a length without an end': [0x0a, 0xff],
    'a message within that is longer than the message': [0x2a, 9, 0x12, 0],
    'an entry of a map that is longer than the message': [0x3a, 9, 0x0a, 0],
    'the end of a group that did not begin': [0x0c],
    'a number in place of a text': [0x08, 3, 0x61, 0x62, 0x63],
    'a number in place of a message': [0x28, 2, 0x12, 0],
    'a number in place of an entry of a map': [0x38, 0],
    'a text in place of a number': [0x32, 1, 0x61],
    'a text in place of a number within': [0x2a, 5, 0x1a, 3, 0x0a, 1, 0x61],
    'a number of 32 bits that has more': [0x30, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
    'field 0': [0x02, 0],
    'a type of field that there is not': [0xf7, 0x07, 0],
  };
  for (const [what, bytes] of Object.entries(cases)) test(what, () => assert.throws(() => read(...bytes)));

  test('a number that its message ends within', () => {
    const create = (...range: readonly number[]) =>
      CreateVolume.requestDeserialize(Buffer.from([0x12, range.length, ...range]));
    assert.equal(create(0x08, 0xff, 0xff, 0xff, 0x7f).capacityRange?.requiredBytes, (1 << 28) - 1);
    assert.throws(() => create(0x08, 0xff, 0xff, 0xff, 0xff), RangeError);
    assert.throws(() => create(0x08, 0xff), RangeError);
  });
});

test('fields that are not known are passed over', () => {
  // Of number 500: a number, 8 bytes, a text, a group with a number in it, 4 bytes.
  const more = [
    ...[0xa0, 0x1f, 0x96, 0x01],
    ...[0xa1, 0x1f, 1, 2, 3, 4, 5, 6, 7, 8],
    ...[0xa2, 0x1f, 2, 0x61, 0x62],
    ...[0xa3, 0x1f, 0x08, 0x01, 0xa4, 0x1f],
    ...[0xa5, 0x1f, 1, 2, 3, 4],
  ];
  assert.deepEqual(read(...more, ...BYTES, ...more), REQUEST);
});

test('what is not sent is empty, null, or not there', () => {
  assert.deepEqual(read(), {
    ...{ volumeId: '', stagingTargetPath: '', targetPath: '', volumeCapability: null, readonly: false },
    ...{ publishContext: {}, secrets: {}, volumeContext: {} },
  });
  // A capability without an access type; one whose type has nothing in it.
  assert.deepEqual(read(0x2a, 0).volumeCapability, { accessMode: null });
  assert.deepEqual(read(0x2a, 2, 0x0a, 0).volumeCapability, { accessMode: null, block: {} });
  const volume = { volumeId: 'v', targetPath: '/t', maps: [], userNamespace: false, singleTarget: false, renew: false };
  for (const gid of [{}, { gid: 0 }, { gid: 2 ** 32 - 1 }]) {
    const request = { ...volume, ...gid, request: '' };
    assert.deepEqual(PublishVolume.requestDeserialize(PublishVolume.requestSerialize(request)), request);
  }
});

test('numbers of 64 bits are exact as far as JavaScript is, and beyond that no safe integers', () => {
  const created = (capacityBytes: number) => {
    const volume: Volume = {
      volumeId: '',
      capacityBytes,
      volumeContext: {},
      contentSource: null,
      accessibleTopology: [],
    };
    return CreateVolume.responseDeserialize(CreateVolume.responseSerialize({ volume })).volume?.capacityBytes;
  };
  for (const bytes of [0, 1, -1, 2 ** 31, 2 ** 32, -(2 ** 40) - 1, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER])
    assert.equal(created(bytes), bytes);
  // 2^53 + 1 and 2^64 - 1, unsigned.
  for (const varint of [
    [0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10],
    [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
  ]) {
    const { memoryBytes } = GetVolumeStats.responseDeserialize(Buffer.from([0x10, ...varint]));
    assert.ok(memoryBytes >= 2 ** 53 && !Number.isSafeInteger(memoryBytes), `${memoryBytes}`);
  }
});

test('a value that no enum has stays what it is', () => {
  assert.deepEqual(read(0x2a, 5, 0x1a, 3, 0x08, 0xe7, 0x07).volumeCapability, { accessMode: { mode: 999 } });
});

test('a key of a map can be any text, and stays a key', () => {
  const volumeContext = JSON.parse('{ "__proto__": "a", "constructor": "b", "maps": "c" }');
  const bytes = NodePublishVolume.requestSerialize({ ...REQUEST, volumeContext });
  const read = NodePublishVolume.requestDeserialize(bytes).volumeContext;
  assert.deepEqual(Object.entries(read), Object.entries(volumeContext));
  assert.equal(Object.getPrototypeOf(read), Object.prototype);
});

test('what is no message cannot be sent', () => {
  const wrong = { ...REQUEST, volumeCapability: 'mount' } as never;
  assert.throws(() => NodeStageVolume.requestSerialize(wrong), TypeError);
  assert.throws(() => NodeGetInfo.responseSerialize([] as never), /expected object/);
});
