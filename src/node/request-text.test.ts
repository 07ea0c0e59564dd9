import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseMapList } from '../request/map-list.ts';
import type { PublishRequest } from './publish-request.ts';
import { requestText } from './request-text.ts';

const pod = { namespace: 'prod', serviceAccount: 'collector', podName: 'p', podUid: 'u' };
const mount = { volumeId: 'csi-1', targetPath: '/1', gid: undefined, singleTarget: false, pod };
const maps = (list: string): PublishRequest => ({
  ...mount,
  type: 'maps',
  maps: parseMapList(list, 'volumeAttributes.maps'),
  userNamespace: false,
});
const delegation = (name: string): PublishRequest => ({ ...mount, type: 'delegation', delegation: name });
const persistent = (type: 'shared' | 'workspace', readOnly: boolean): PublishRequest => ({ ...mount, type, readOnly });

test('the text of a request does not change between versions of the driver, because volumes outlive them', () => {
  assert.equal(requestText(maps('limits:rw, flows')), 'maps: flows, limits:rw');
  assert.equal(requestText(persistent('workspace', true)), 'workspace: ro');
  assert.equal(requestText(delegation('xdp')), 'delegation: xdp');
});

test('the text distinguishes maps, access and type, and nothing else', () => {
  const text = requestText(maps('flows,limits:rw'));
  assert.equal(requestText(maps(' limits:rw,flows ')), text);
  assert.equal(requestText({ ...maps('flows,limits:rw'), targetPath: '/2', gid: 7 }), text);
  const others = [maps('flows,limits'), maps('flows:rw,limits'), maps('flows'), maps('limits:rw')];
  const kinds = [
    delegation('flows'),
    delegation('limits'),
    persistent('shared', true),
    persistent('shared', false),
    persistent('workspace', false),
  ];
  const all = [text, ...[...others, ...kinds].map(requestText)];
  assert.equal(new Set(all).size, all.length);
});
