import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Code } from '../errors.ts';
import { ApiError, SILENCE } from './api-error.ts';
import type { KubernetesClient, WatchEvent } from './client.ts';
import { startReflector } from './reflector.ts';
import type { KubernetesObject } from './resource.ts';

const RESOURCE = { group: 'bpffs.dev', version: 'v1alpha1', plural: 'bpfmaps' };

const object = (name: string): KubernetesObject => ({
  apiVersion: 'bpffs.dev/v1alpha1',
  kind: 'BpfMap',
  metadata: { name, uid: name, resourceVersion: name, creationTimestamp: '' },
});

/** The objects that exist, by revision. */
const HISTORY = [[], ['old'], ['old', 'young']] as const;
const NEWEST = HISTORY.length - 1;

/** An API server that has seen HISTORY up to revision `seen`; its watches end with `failure`. */
function laggard(seen: number, failure: () => unknown): Pick<KubernetesClient, 'list' | 'watch' | 'server'> {
  return {
    server: 'api:443',
    async list(_, { resourceVersion = '' } = {}, { each } = {}) {
      // https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-get-and-list
      const revision = resourceVersion === '' ? NEWEST : Math.max(seen, Number(resourceVersion));
      for (const name of HISTORY[revision] ?? []) each?.(object(name));
      return { resourceVersion: `${revision}`, continue: undefined, items: [] };
    },
    async *watch(_, { resourceVersion = '' }, { signal, opened }): AsyncGenerator<WatchEvent> {
      opened?.();
      yield { type: 'BOOKMARK', object: { ...object(''), metadata: { ...object('').metadata, resourceVersion } } };
      await sleep(5, undefined, { signal });
      throw failure();
    },
  };
}

test('the cache never goes back in time, however far the API server lags', {
  timeout: 10_000,
}, async (t) => {
  const silence = () => new ApiError(Code.UNAVAILABLE, 'nothing came', undefined, SILENCE);
  let lists = 0;
  const client = laggard(1, silence);
  const reflector = startReflector({
    client: {
      ...client,
      list(...args) {
        lists += 1;
        return client.list(...args);
      },
    },
    resource: RESOURCE,
    parse: ({ metadata }) => metadata.name,
    changed: (key, value) => assert(value !== undefined, `${key} was taken away`),
    timing: { minBackoffMs: 1, maxBackoffMs: 1 },
  });
  t.after(() => reflector.close());
  await reflector.synced();
  assert.deepEqual([...reflector.current().keys()], ['old', 'young']);
  while (lists < 5) await sleep(1);
  assert.deepEqual([...reflector.current().keys()], ['old', 'young']);
});
