import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import type { ServerUnaryCall } from '@grpc/grpc-js';
import { notFound } from '../errors.ts';
import { createLogger } from '../logger.ts';
import { adapt, type Handlers } from './adapter.ts';
import { ControllerService, IdentityService, NodeService } from './csi.ts';
import csi from './generated/csi.json' with { type: 'json' };
import { inCode, type Service } from './service.ts';

interface Field {
  readonly type: string;
  readonly keyType?: string;
  readonly options?: Readonly<Record<string, unknown>>;
}

const MESSAGES = csi.nested.csi.nested.v1.nested as unknown as Readonly<
  Record<string, { readonly fields?: Readonly<Record<string, Field>> }>
>;
const SECRET = 'very-secret';

/** A request with text in each string field, and SECRET in those that csi.proto marks with csi_secret. */
function fill(message: string): readonly [request: Record<string, unknown>, secrets: number] {
  const fields = Object.entries(MESSAGES[message]?.fields ?? {});
  const secret = ({ options }: Field) => options?.['(csi_secret)'] === true;
  const texts = fields.filter(([, { type }]) => type === 'string');
  const value = (field: Field) => {
    const text = secret(field) ? SECRET : 'text';
    return field.keyType === undefined ? text : { key: text };
  };
  return [
    Object.fromEntries(texts.map(([name, field]) => [name, value(field)])),
    texts.filter(([, field]) => secret(field)).length,
  ];
}

/** The log lines of calls of all methods, which all fail, and the number of secrets in their requests. */
async function logOf<D extends object>(
  service: Service<D>,
): Promise<readonly [lines: readonly string[], secrets: number]> {
  const lines: string[] = [];
  const log = createLogger('info', { write: (line) => void lines.push(line) });
  const handlers = Object.fromEntries(
    service.methods.map((method) => [
      inCode(method),
      () => {
        throw notFound('nothing is here');
      },
    ]),
  );
  const metrics = { served() {}, callStarted() {}, callEnded() {}, faulted() {} };
  const { implementation } = adapt(service, handlers as unknown as Handlers<D>, log, metrics);
  const definition = (await service.definition()) as Record<string, { requestSerialize(request: object): Buffer }>;
  let all = 0;
  for (const method of service.methods) {
    const [asked, secrets] = fill(`${method}Request`);
    all += secrets;
    const request = definition[method]?.requestSerialize(asked);
    const call = Object.assign(new EventEmitter(), { request, cancelled: false, getDeadline: () => Infinity });
    const serve = implementation[method] as (call: ServerUnaryCall<unknown, unknown>, reply: () => void) => void;
    await new Promise<void>((resolve) => serve(call as never, resolve));
  }
  return [lines, all];
}

test('no method logs a field that is marked as secret', async () => {
  let all = 0;
  for (const service of [IdentityService, ControllerService, NodeService] as readonly Service<object>[]) {
    const [lines, secrets] = await logOf(service);
    all += secrets;
    assert.equal(lines.length, service.methods.length);
    for (const line of lines) assert.ok(!line.includes(SECRET), line);
  }
  // CreateVolume, DeleteVolume, ValidateVolumeCapabilities, NodeStageVolume, NodePublishVolume.
  assert.equal(all, 5);
});
