import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { demo, HOSTILE, hostile, large } from '../../../test/graph/demo.ts';
import { visible } from '../../text.ts';
import { toGraph } from './model.ts';
import { graphPage } from './page.ts';

const pageOf = (input: typeof demo) => graphPage(toGraph(input));

/** The texts of the elements that a browser takes as scripts: from a tag to the first end tag, whatever is between. */
const scripts = (page: string) => [...page.matchAll(/<script[^>]*>(.*?)<\/script/gis)].map(([, text = '']) => text);

test('hostile names neither end the data nor become markup', () => {
  const page = pageOf(hostile);
  assert.equal(scripts(page).length, 2);
  const [data = ''] = scripts(page);
  assert.equal(JSON.parse(data).pods[0].name, visible(HOSTILE));
  assert.doesNotMatch(data, /[<>&\u2028\u2029\u202e]/);
  assert.doesNotMatch(page, /<img|<!--|<\/title>.*<\/title>/is);
  assert.ok(HOSTILE.includes('</script>'));
});

test('the policy allows the script and the style of the page, and nothing else', () => {
  const page = pageOf(demo);
  const hash = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
  const style = /<style>(.*?)<\/style>/s.exec(page)?.[1] ?? '';
  const policy = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(page)?.[1];
  assert.equal(
    policy,
    `default-src 'none'; style-src ${hash(style)}; script-src ${hash(scripts(page)[1] ?? '')}; base-uri 'none'; form-action 'none'`,
  );
});

test('the page names no address but the namespace of SVG', () => {
  const addresses = pageOf({ ...demo, nodes: [] }).match(/\w+:\/\/[^"'\s)]*|url\([^)]*\)|@import|\bsrc=|<link/g) ?? [];
  assert.deepEqual([...new Set(addresses)], ['http://www.w3.org/2000/svg']);
});

test('1,000 pods with 3 maps each are less than 1 MiB', () => {
  assert.ok(pageOf(large()).length < 1 << 20);
});

test('texts are truncated', () => {
  assert.ok(pageOf({ ...demo, cluster: 'x'.repeat(1_000_000) }).length < 100_000);
});
