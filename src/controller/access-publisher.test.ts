import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseBeat } from '../access/access-lease.ts';
import type { KubernetesObject } from '../kubernetes/resource.ts';
import { createLogger } from '../logger.ts';
import { publishAccess } from './access-publisher.ts';

test('grants that are as before, and were others meanwhile, are another generation', { timeout: 10_000 }, async (t) => {
  const said: string[] = [];
  const metadata = { name: 'l', uid: 'u', resourceVersion: '1', creationTimestamp: '' };
  const write = async (fields: object) => {
    const object = { ...fields, metadata: { ...metadata, ...(fields as KubernetesObject).metadata } };
    said.push(parseBeat(object)?.generation ?? '');
    return object;
  };
  const publisher = publishAccess({
    client: {
      get: async () => ({ metadata }),
      create: async (_, object) => write(object),
      patch: async (_, __, object) => write(object),
    },
    lease: { namespace: 'n', name: 'l' },
    rbac: { digest: () => 'same', isFresh: () => true },
    log: createLogger('error'),
    timing: { beatMs: 10, pauseMs: 1 },
  });
  t.after(() => publisher.close());
  while (said.length < 3) await sleep(1);
  assert.equal(new Set(said).size, 1);
  publisher.changed();
  while (new Set(said).size === 1) await sleep(1);
});
