import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseMapList } from '../volumes/map-list.ts';
import type { PublishRequest } from './publish-request.ts';
import { requestDigest } from './request-digest.ts';

const pod = { namespace: 'prod', serviceAccount: 'collector', podName: 'p', podUid: 'u' };
const mount = { volumeId: 'csi-1', targetPath: '/1', gid: undefined, singleTarget: false, pod };
const maps = (list: string): PublishRequest => ({
  ...mount,
  type: 'maps',
  maps: parseMapList(list, 'volumeAttributes.maps'),
  userNamespace: false,
});
const persistent = (type: 'shared' | 'workspace', readOnly: boolean): PublishRequest => ({ ...mount, type, readOnly });

test('the digest of a request is the same in each version of the driver, because volumes outlive them', () => {
  assert.equal(requestDigest(maps('flows, limits:rw')), 'W07IDJXqkp66hllNGL9P0N9dqlWRxtcFUVSb36hFeYw');
});

test('it tells what was asked, and nothing else', () => {
  const digest = requestDigest(maps('flows,limits:rw'));
  assert.match(digest, /^[A-Za-z0-9_-]{43}$/);
  assert.equal(requestDigest(maps(' limits:rw,flows ')), digest);
  assert.equal(requestDigest({ ...maps('flows,limits:rw'), targetPath: '/2', gid: 7 }), digest);
  const others = [maps('flows,limits'), maps('flows:rw,limits'), maps('flows'), maps('limits:rw')];
  const kinds = [persistent('shared', true), persistent('shared', false), persistent('workspace', false)];
  const all = [digest, ...[...others, ...kinds].map(requestDigest)];
  assert.equal(new Set(all).size, all.length);
});
