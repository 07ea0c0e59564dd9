import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Code, unavailable } from '../errors.ts';
import type { BpfMap } from '../maps/catalog.ts';
import type { Decision, PodIdentity } from './access.ts';
import { authorize, denial, isDenied, type Verdict, type WantedMap } from './authorize.ts';

const pod = { namespace: 'prod', serviceAccount: 'collector', podName: 'p', podUid: 'u' };

function wantedMaps(name: (index: number) => string): readonly WantedMap[] {
  return Array.from({ length: 256 }, (_, index) => {
    const map: BpfMap = {
      name: name(index),
      fileName: `${index}`,
      maxAccess: 'ReadOnly',
      source: { kind: 'node', source: {} },
    };
    return { map, verb: 'read' as const };
  });
}

function sorted(verdicts: readonly Verdict[]) {
  const granted = verdicts.filter((verdict) => verdict !== undefined && !isDenied(verdict)).length;
  return { granted, denied: verdicts.filter(isDenied) };
}

test('one message for all denials, short enough for a header', async () => {
  const wanted = wantedMaps((index) => `${'m'.repeat(124)}-${index}`);
  const access = { check: async () => ({ allowed: false, remedy: 'ask' }) as const };
  const denied = sorted(await authorize(wanted, pod, access, AbortSignal.abort())).denied;
  assert.equal(denied.length, 256);
  const error = denial(pod, denied);
  assert.equal(error.code, Code.PERMISSION_DENIED);
  assert.match(
    error.message,
    /^system:serviceaccount:prod:collector may not read map "m+-0" \(no grant: ask\), read .*, and 252 more$/,
  );
  assert(error.message.length < 1024);
});

/** Answers each check a moment later, and counts them. */
function counting(answer: (name: string) => Decision) {
  const seen = { asked: 0, atOnce: 0, max: 0 };
  const check = async (_: PodIdentity, name: string) => {
    seen.asked += 1;
    seen.atOnce += 1;
    seen.max = Math.max(seen.max, seen.atOnce);
    await new Promise((resolve) => setImmediate(resolve));
    seen.atOnce -= 1;
    return answer(name);
  };
  return { seen, access: { check } };
}

const waiting = new AbortController().signal;
const wanted = wantedMaps((index) => `m-${index}`);

test('all maps are checked, eight at a time', async () => {
  const { seen, access } = counting((name) =>
    name === 'm-3' ? { allowed: false, remedy: 'ask' } : { allowed: true, rule: 'a role' },
  );
  const { granted, denied } = sorted(await authorize(wanted, pod, access, waiting));
  assert.equal(granted, 255);
  assert.deepEqual(
    denied.map(({ map, why }) => [map.name, why]),
    [['m-3', 'no grant: ask']],
  );
  assert.deepEqual([seen.asked, seen.max], [256, 8]);
});

test('once enough maps are denied, the rest is neither checked nor granted', async () => {
  const { seen, access } = counting(() => ({ allowed: false, remedy: 'ask' }));
  const { granted, denied } = sorted(await authorize(wanted, pod, access, waiting, async () => true));
  assert(seen.asked <= 16, `${seen.asked}`);
  assert.equal(granted, 0);
  assert(denied.length > 4);
  assert.match(denial(pod, denied, false).message, /read map "m-3" \(no grant: ask\), and at least \d+ more$/);
});

test('for a running pod all maps are checked', async () => {
  const { seen, access } = counting(() => ({ allowed: false, remedy: 'ask' }));
  const { denied } = sorted(await authorize(wanted, pod, access, waiting, async () => false));
  assert.deepEqual([seen.asked, denied.length], [256, 256]);
});

test('an error ends the checks', async () => {
  const { seen, access } = counting(() => {
    throw unavailable('the API server does not answer');
  });
  await assert.rejects(authorize(wanted, pod, access, waiting), { code: Code.UNAVAILABLE });
  for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  assert(seen.asked <= 16, `${seen.asked}`);
});
