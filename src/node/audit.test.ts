import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Access, PublishVolumeResponse_Outcome as Outcome } from '../rpc/pinner.ts';
import { createAudit } from './audit.ts';
import type { PublishRequest } from './publish-request.ts';

const pod = { namespace: 'prod', serviceAccount: 'collector', podName: 'p', podUid: 'u' };
const request = { type: 'maps', volumeId: 'v', targetPath: '/t', pod } as unknown as PublishRequest;

function audited(sameWithinMs?: number) {
  const lines: Record<string, unknown>[] = [];
  const log = { info: (fields: object) => void lines.push({ ...fields }) };
  return { lines, audit: createAudit({ nodeId: 'n', log, ...(sameWithinMs !== undefined && { sameWithinMs }) }) };
}

test('a line names 16 maps and 16 changes, and counts the others', () => {
  const { lines, audit } = audited();
  const given = Array.from({ length: 256 }, (_, mapId) => ({ name: `m${mapId}`, mapId, access: Access.READ_ONLY }));
  const changes = given.map(({ name: path }) => ({ path, kind: 99 as never }));
  const nothing = { maps: new Map(), rules: new Map(), refused: [] };
  audit.published(request, { ...nothing, outcome: Outcome.REPLACED, given, changes });
  audit.published(request, { ...nothing, outcome: Outcome.UNCHANGED, given: [], changes: [] });
  assert.equal(lines.length, 1);
  const [{ maps, mapsMore, changes: told, changesMore } = {}] = lines;
  assert.deepEqual([(maps as []).length, mapsMore, (told as []).length, changesMore], [16, 240, 16, 240]);
});

test('a refusal is told again once it is old', async () => {
  const { lines, audit } = audited(1);
  const refused = [{ bpfMap: 'm', verb: 'read', reason: 'absent', cause: 'absent', message: 'w'.repeat(512) }] as const;
  audit.refused(request, refused);
  await new Promise((resolve) => setTimeout(resolve, 20));
  audit.refused(request, refused);
  assert.equal(lines.length, 2);
  assert.match(JSON.stringify(lines[0]?.maps), /"why":"w{200}"/);
});
