import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CallError, Code } from '../errors.ts';
import { podTokens } from './pod-tokens.ts';

const KEY = 'csi.storage.k8s.io/serviceAccount.tokens';
const tokens = (token: string) => ({
  [KEY]: JSON.stringify({ 'csi.bpffs.dev': { token, expirationTimestamp: '2030-01-01T00:00:00Z' } }),
});

test('secrets take precedence over the volume context', () => {
  assert.equal(podTokens({ secrets: tokens('s'), volumeContext: tokens('c') })('csi.bpffs.dev'), 's');
  assert.equal(podTokens({ secrets: {}, volumeContext: tokens('c') })('csi.bpffs.dev'), 'c');
});

const lacking = /; the CSIDriver object needs tokenRequests: \[\{audience: "[a-z._]+"\}\]$/;
const malformed =
  /^what the kubelet sent as csi\.storage\.k8s\.io\/serviceAccount\.tokens is no JSON object of tokens; the CSIDriver object needs tokenRequests: /;
const wrong: readonly (readonly [string, Readonly<Record<string, string>>, string, RegExp])[] = [
  ['nothing', {}, 'csi.bpffs.dev', lacking],
  ['an empty text', { [KEY]: '' }, 'csi.bpffs.dev', lacking],
  ['another audience', tokens('secret'), 'other.dev', lacking],
  ['a property that every object has', tokens('secret'), 'constructor', lacking],
  ['no JSON', { [KEY]: 'secret' }, 'csi.bpffs.dev', malformed],
  ['other JSON', { [KEY]: '["secret"]' }, 'csi.bpffs.dev', malformed],
  ['an empty token', tokens(''), 'csi.bpffs.dev', malformed],
];
for (const [what, secrets, audience, message] of wrong) {
  test(`${what} is UNAUTHENTICATED`, () => {
    assert.throws(
      () => podTokens({ secrets, volumeContext: {} })(audience),
      (error) => {
        assert(error instanceof CallError);
        assert.equal(error.code, Code.UNAUTHENTICATED);
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /secret"/);
        return true;
      },
    );
  });
}
