import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BpfMap } from '../catalog/catalog.ts';
import { Code } from '../errors.ts';
import { authorize, denial } from './authorize.ts';

const pod = { namespace: 'prod', serviceAccount: 'collector', podName: 'p', podUid: 'u' };

test('one message for all refusals, short enough for a header however many there are', async () => {
  const wanted = Array.from({ length: 256 }, (_, index) => {
    const map: BpfMap = {
      name: `${'m'.repeat(124)}-${index}`,
      fileName: `${index}`,
      maxAccess: 'ReadOnly',
      source: { kind: 'node', source: { from: undefined } },
    };
    return { map, verb: 'read' as const };
  });
  const access = { check: async () => ({ allowed: false, remedy: 'ask' }) as const };
  const { granted, denied } = await authorize(wanted, pod, access, AbortSignal.abort());
  assert.deepEqual(granted, []);
  const error = denial(pod, denied);
  assert.equal(error.code, Code.PERMISSION_DENIED);
  assert.match(
    error.message,
    /^system:serviceaccount:prod:collector may not read map "m+-0" \(no grant: ask\), read .*, and 252 more$/,
  );
  assert(error.message.length < 1024);
});
