import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nameInVolumeId, objectName, volumeId } from './volume-id.ts';

const UID = '0d6c2a1e-6f0f-4c0d-9f64-3f7d4c1b1c11';

test('a valid name of an object stays as it is', () => {
  for (const name of ['pvc-0d6c2a1e-6f0f-4c0d-9f64-3f7d4c1b1c11', 'a', '0', 'a'.repeat(63)]) {
    assert.equal(objectName(name), name);
    assert.equal(nameInVolumeId(volumeId(name, UID)), name);
  }
});

test('any other name becomes a valid one, without collisions', () => {
  const others = ['A', 'a.b', '-a', 'a-', 'a/b', '../a', 'ä', 'a'.repeat(64), `v-${'0'.repeat(32)}`, ''];
  const names = others.map(objectName);
  for (const name of names) {
    assert.match(name, /^v-[0-9a-f]{32}$/);
    assert.equal(nameInVolumeId(volumeId(name, UID)), name);
  }
  assert.equal(new Set(names).size, others.length);
  // A name that looks like a hash is hashed too, so that it cannot lead to the object of another name.
  assert.notEqual(objectName(names[0] ?? ''), names[0]);
});

test('ids of other drivers contain no name', () => {
  for (const id of ['', 'a', `csi-${'0'.repeat(64)}`, '../../x-0a1b2c3d', 'A-0a1b2c3d', 'a-0A1b2c3d', 'a.b-0a1b2c3d']) {
    assert.equal(nameInVolumeId(id), undefined, id);
  }
});
