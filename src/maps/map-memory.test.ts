import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MapDefinition } from './map-definition.ts';
import { mapMemoryBytes } from './map-memory.ts';

// test/integration/map-definitions.test.ts compares every type with the kernel.

const hash: MapDefinition = { type: 'hash', keySize: 4, valueSize: 8, maxEntries: 1000, flags: [] };

test('counts the memory of a full map', () => {
  const grown = mapMemoryBytes({ ...hash, flags: ['BPF_F_NO_PREALLOC'] });
  assert.ok(grown >= 1000 * (48 + 8 + 8) && grown <= mapMemoryBytes(hash) + 1000 * 8);
});

test('counts per-CPU values for each CPU', () => {
  const perCpu: MapDefinition = { ...hash, type: 'percpu_array', keySize: 4, valueSize: 100 };
  assert.equal(mapMemoryBytes(perCpu, 8) - mapMemoryBytes(perCpu), 7 * 1000 * 104);
});

test('the largest estimates can be added up exactly', () => {
  const largest: MapDefinition = { ...hash, type: 'array', valueSize: 1 << 13, maxEntries: 0xffffffff };
  assert.ok(Number.isSafeInteger(256 * mapMemoryBytes(largest)));
});
