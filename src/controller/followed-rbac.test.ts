import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Code } from '../errors.ts';
import { ApiError } from '../kubernetes/api-error.ts';
import type { KubernetesClient, WatchEvent } from '../kubernetes/client.ts';
import { createLogger } from '../logger.ts';
import { followRbac } from './followed-rbac.ts';

test('what a new list shows unchanged may have been otherwise before it', { timeout: 10_000 }, async (t) => {
  let isForgetful = false;
  let changes = 0;
  const client: Pick<KubernetesClient, 'list' | 'watch' | 'server'> = {
    server: 'api:443',
    list: async () => ({ resourceVersion: '1', continue: undefined, items: [] }),
    async *watch(_, __, { signal, opened }): AsyncGenerator<WatchEvent> {
      opened?.();
      const metadata = { name: '', uid: '', resourceVersion: '1', creationTimestamp: '' };
      yield { type: 'BOOKMARK', object: { metadata } };
      while (!isForgetful) await sleep(1, undefined, { signal });
      throw new ApiError(Code.UNAVAILABLE, 'too old resource version', 410, 'Expired');
    },
  };
  const rbac = followRbac({
    client,
    log: createLogger('error'),
    changed: () => {
      changes += 1;
    },
    timing: { minBackoffMs: 1, maxBackoffMs: 1 },
  });
  t.after(() => rbac.close());
  while (!rbac.isFresh()) await sleep(1);
  await sleep(20);
  assert.equal(changes, 0);
  isForgetful = true;
  while (changes === 0) await sleep(1);
});
