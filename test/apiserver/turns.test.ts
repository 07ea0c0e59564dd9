import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { CallError, Code } from '../../src/errors.ts';
import { createKubernetesClient, type KubernetesClient } from '../../src/kubernetes/client.ts';
import { makePki } from '../cluster/pki.ts';
import { configOf } from './kube-config.ts';

const REVIEWS = { group: 'authorization.k8s.io', version: 'v1', plural: 'subjectaccessreviews' };

let directory: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'bpffs-turns-'));
  await makePki(directory);
});
after(() => rm(directory, { recursive: true, force: true }));

/** A client of a server that answers each request with `answer`. */
async function withServer(
  answer: (response: ServerResponse) => void,
  use: (client: KubernetesClient) => Promise<void>,
): Promise<void> {
  const [ca = '', key, cert] = await Promise.all(
    ['ca.crt', 'kube-apiserver.key', 'kube-apiserver.crt'].map((file) => readFile(join(directory, file), 'utf8')),
  );
  const server = createServer({ key, cert }, (_, response) => answer(response)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const client = createKubernetesClient(configOf(port, { ca }));
  try {
    await use(client);
  } finally {
    client.close();
    server.closeAllConnections();
    server.close();
  }
}

const review = (client: KubernetesClient, timeoutMs: number) =>
  client.create(REVIEWS, { kind: 'SubjectAccessReview' }, { timeoutMs });

test('who waits for a turn has its time from when its request is sent', async () => {
  const slowly = (response: ServerResponse) => void setTimeout(() => response.end('{}'), 300);
  await withServer(slowly, async (client) => {
    // Eight at a time: the last ones are sent later than one request's own timeout.
    await Promise.all(Array.from({ length: 48 }, () => review(client, 1500)));
  });
});

test('where nothing comes each fails, and says what it waited for', async () => {
  await withServer(
    () => undefined,
    async (client) => {
      const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => review(client, 300)));
      const errors = outcomes.map((outcome) => (outcome.status === 'rejected' ? CallError.from(outcome.reason) : null));
      const texts = errors.map((error) => {
        assert.equal(error?.code, Code.UNAVAILABLE);
        return /does not answer: (.*)$/.exec(error?.message ?? '')?.[1];
      });
      assert.equal(texts[0], 'nothing came of create subjectaccessreviews.authorization.k8s.io for 0.3 s');
      assert.equal(texts.at(-1), 'nothing came of earlier requests for 0.3 s');
    },
  );
});

const strange: readonly (readonly [says: string, problem: string])[] = [
  ['null', 'what it says is no JSON object'],
  ['"yes"', 'what it says is no JSON object'],
  ['<html>', 'what it says is no JSON object'],
  ['{}', 'what it says is no list'],
];
for (const [says, problem] of strange) {
  test(`a list that is ${says} is UNAVAILABLE: something else answers there`, async () => {
    await withServer(
      (response) => void response.end(says),
      async (client) => {
        const message = `the API server at ${client.server} does not answer: ${problem}`;
        await assert.rejects(client.list(REVIEWS), { code: Code.UNAVAILABLE, message });
      },
    );
  });
}

for (const [says, problem] of [
  ['null', 'what it says is no event'],
  ['{"type":"ADDED"}', 'an event is of no object'],
  ['{"type":"ADDED","object":{}}', 'an event is of no object'],
] as const) {
  test(`an event that is ${says} ends the watch`, async () => {
    await withServer(
      (response) => void response.end(`${says}\n`),
      async (client) => {
        const limits = { signal: new AbortController().signal, idleTimeoutMs: 5000 };
        const events = client.watch(REVIEWS, { timeoutSeconds: 1 }, limits);
        const message = `the API server at ${client.server} does not answer: ${problem}`;
        await assert.rejects(events[Symbol.asyncIterator]().next(), { code: Code.UNAVAILABLE, message });
      },
    );
  });
}

test('a caller that gives up hears what it waited for', async () => {
  await withServer(
    () => undefined,
    async (client) => {
      const late = new AbortController();
      const answer = client.create(REVIEWS, { kind: 'SubjectAccessReview' }, { signal: late.signal });
      late.abort(new CallError(Code.DEADLINE_EXCEEDED, 'the deadline passed'));
      await assert.rejects(answer, {
        code: Code.DEADLINE_EXCEEDED,
        message: `the deadline passed while waiting for the API server at ${client.server} (create subjectaccessreviews.authorization.k8s.io)`,
      });
    },
  );
});
