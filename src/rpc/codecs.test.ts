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

/** Whether every value in `part` is that of `whole`, or empty. */
function isPartOf(part: unknown, whole: unknown): boolean {
  if (typeof part !== 'object') return part === whole || part === '' || part === false || part === 0;
  return (
    part === null ||
    Object.entries(part).every(([key, value]) => isPartOf(value, (whole as Record<string, unknown>)[key]))
  );
}

test('a message is decoded as it was encoded', () => {
  assert.deepEqual(NodePublishVolume.requestDeserialize(BYTES), REQUEST);
});

test('of a truncated message, only complete fields are read', () => {
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
  // The empty message, one after each of six fields, and one after the first of the two entries of volumeContext.
  assert.equal(read, 8);
});

describe('malformed messages throw', () => {
  const cases: Readonly<Record<string, readonly number[]>> = {
    'a string that is longer than the message': [0x0a, 3, 0x61],
    'a string that is longer than its inner message': [0x2a, 4, 0x12, 2, 0x0a, 9, 0x12, 2, 0x08, 0x01],
    'a length without an end': [0x0a, 0xff],
    'an inner message that is longer than the message': [0x2a, 9, 0x12, 0],
    'an entry of a map that is longer than the message': [0x3a, 9, 0x0a, 0],
    'the end of a group that did not begin': [0x0c],
    'a number in place of a text': [0x08, 3, 0x61, 0x62, 0x63],
    'a number in place of a message': [0x28, 2, 0x12, 0],
    'a number in place of an entry of a map': [0x38, 0],
    'a text in place of a number': [0x32, 1, 0x61],
    'a text in place of a number within': [0x2a, 5, 0x1a, 3, 0x0a, 1, 0x61],
    'a number of 32 bits that has more': [0x30, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
    'field 0': [0x02, 0],
    'an unknown wire type': [0xf7, 0x07, 0],
  };
  for (const [what, bytes] of Object.entries(cases)) test(what, () => assert.throws(() => read(...bytes)));

  test('a number that is cut off by the end of its message', () => {
    const create = (...range: readonly number[]) =>
      CreateVolume.requestDeserialize(Buffer.from([0x12, range.length, ...range]));
    assert.equal(create(0x08, 0xff, 0xff, 0xff, 0x7f).capacityRange?.requiredBytes, (1 << 28) - 1);
    assert.throws(() => create(0x08, 0xff, 0xff, 0xff, 0xff), RangeError);
    assert.throws(() => create(0x08, 0xff), RangeError);
  });
});

test('unknown fields are ignored', () => {
  // Field 500: a varint, 8 bytes, a string, a group with a varint in it, 4 bytes.
  const more = [
    ...[0xa0, 0x1f, 0x96, 0x01],
    ...[0xa1, 0x1f, 1, 2, 3, 4, 5, 6, 7, 8],
    ...[0xa2, 0x1f, 2, 0x61, 0x62],
    ...[0xa3, 0x1f, 0x08, 0x01, 0xa4, 0x1f],
    ...[0xa5, 0x1f, 1, 2, 3, 4],
  ];
  assert.deepEqual(read(...more, ...BYTES, ...more), REQUEST);
});

test('fields that are not sent are empty, null or absent', () => {
  assert.deepEqual(read(), {
    ...{ volumeId: '', stagingTargetPath: '', targetPath: '', volumeCapability: null, readonly: false },
    ...{ publishContext: {}, secrets: {}, volumeContext: {} },
  });
  // A capability without an access type; one with an empty access type.
  assert.deepEqual(read(0x2a, 0).volumeCapability, { accessMode: null });
  assert.deepEqual(read(0x2a, 2, 0x0a, 0).volumeCapability, { accessMode: null, block: {} });
  const volume = { volumeId: 'v', targetPath: '/t', maps: [], userNamespace: false, singleTarget: false, renew: false };
  for (const gid of [{}, { gid: 0 }, { gid: 2 ** 32 - 1 }]) {
    const request = { ...volume, ...gid, request: '' };
    assert.deepEqual(PublishVolume.requestDeserialize(PublishVolume.requestSerialize(request)), request);
  }
});

test('numbers of 64 bits are exact if they are safe integers, and otherwise become unsafe integers', () => {
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

test('an unknown enum value is kept', () => {
  assert.deepEqual(read(0x2a, 5, 0x1a, 3, 0x08, 0xe7, 0x07).volumeCapability, { accessMode: { mode: 999 } });
});

test('a key of a map can be any text, and stays an own property', () => {
  const volumeContext = JSON.parse('{ "__proto__": "a", "constructor": "b", "maps": "c" }');
  const bytes = NodePublishVolume.requestSerialize({ ...REQUEST, volumeContext });
  const read = NodePublishVolume.requestDeserialize(bytes).volumeContext;
  assert.deepEqual(Object.entries(read), Object.entries(volumeContext));
  assert.equal(Object.getPrototypeOf(read), Object.prototype);
});

test('invalid messages cannot be encoded', () => {
  const wrong = { ...REQUEST, volumeCapability: 'mount' } as never;
  assert.throws(() => NodeStageVolume.requestSerialize(wrong), TypeError);
  assert.throws(() => NodeGetInfo.responseSerialize([] as never), /expected object/);
});
