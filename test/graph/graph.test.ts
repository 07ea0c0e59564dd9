import assert from 'node:assert/strict';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { type GraphInput, toGraph } from '../../src/kubectl/graph/model.ts';
import { graphPage } from '../../src/kubectl/graph/page.ts';
import { visible } from '../../src/text.ts';
import { openBrowser } from './browser.ts';
import { demo, HOSTILE, hostile, large } from './demo.ts';

let browser: Browser;
let page: Page;
/** Requests other than for the file, and whatever reaches the console. */
let unwanted: string[];

before(async () => {
  browser = await openBrowser();
});
after(() => browser.close());
beforeEach(async () => {
  page = await browser.newPage({ viewport: { width: 1280, height: 800 }, colorScheme: 'light' });
  page.setDefaultTimeout(10_000);
  unwanted = [];
  page.on('request', (request) => request.isNavigationRequest() || unwanted.push(request.url()));
  page.on('console', (message) => unwanted.push(message.text()));
  page.on('pageerror', (error) => unwanted.push(error.message));
});
afterEach(async () => {
  await page.close();
  assert.deepEqual(unwanted, []);
});

async function open(input: GraphInput): Promise<void> {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'graph-'));
  const file = join(directory.path, 'graph.html');
  await writeFile(file, graphPage(toGraph(input)));
  await page.context().setOffline(true);
  await page.goto(pathToFileURL(file).href);
}

/** A box of a column: "Source", "Map", "Service account" or "Pod". */
const box = (column: string, name: string) => page.locator('.box').and(page.getByLabel(`${column} ${name},`));
const columns = () => page.locator('.box').count();
const panel = () => page.locator('#panel').innerText();
/** The names in the boxes that are on the selected paths. */
const highlighted = () => page.locator('.box.on .name').allTextContents();
const rows = () => page.locator('tbody tr').count();

test('shows a cluster with totals, the errors of nodes, and a row for each path', async () => {
  await open(demo);
  assert.equal(await page.title(), 'BPF maps of prod-eu-1');
  const totals = (await page.locator('#totals').innerText()).replaceAll('\n', ' ');
  assert.match(totals, /Pods 18 Service accounts 10 Maps 9 .* 3 of 4 .* Refused 2 .* Replaced 2/);
  await page.getByText('1 node did not answer').click();
  await page.getByText('worker-d: the node plugin on worker-d does not answer').waitFor();
  assert.equal(await rows(), 30);
});

test('a map that is pointed at shows its numbers, and everything on its paths', async () => {
  await open(demo);
  await box('Map', 'limits').hover();
  const text = await panel();
  for (const part of [
    'bpfman program rate-limiter',
    'hash, key 4 B, value 16 B, 4,096 entries',
    'id 46 on worker-a, 386 KiB',
    '1.1 MiB in 3 maps',
    'read: 2 pods, write: 3 pods',
  ])
    assert.ok(text.includes(part), `${part} in ${text}`);
  assert.match(text, /write refused \(denied\), 114 times, last 2026-11-26 16:03:59 UTC/);
  assert.deepEqual(await highlighted(), [
    'bpfman program rate-limiter',
    'limits',
    'checkout',
    'limiter',
    '2 pods',
    '3 pods',
  ]);
  await page.mouse.move(5, 5);
  assert.deepEqual(await highlighted(), []);
});

test('refused and replaced lines say so without colour', async () => {
  await open(demo);
  assert.ok(await page.getByRole('button', { name: 'flows to debug-shell, refused, 1 pod' }).isVisible());
  assert.ok(await page.getByRole('button', { name: 'blocklist to threat-intel, replaced, 1 pod' }).isVisible());
  assert.deepEqual((await page.locator('text.marker').allTextContents()).sort(), [
    '↻',
    '↻',
    '↻',
    '↻',
    '✕',
    '✕',
    '✕',
    '✕',
  ]);
  await page.locator('text.marker.refused').first().hover();
  assert.match(await panel(), /read refused \(grant\), 27 times/);
});

test('a click pins what it shows, another click or Escape releases it', async () => {
  await open(demo);
  const other = box('Map', 'tcp-latency');
  await box('Map', 'flows').click();
  await other.hover();
  assert.match(await panel(), /^BpfMap\nflows\n/);
  await page.keyboard.press('Escape');
  assert.match(await panel(), /^BpfMap\ntcp-latency\n/);
  await other.click();
  assert.equal(await other.getAttribute('aria-pressed'), 'true');
  await other.click();
  assert.equal(await other.getAttribute('aria-pressed'), 'false');
});

test('everything can be reached and pinned with the keyboard', async () => {
  await open(demo);
  await page.locator('#collapse').focus();
  await page.keyboard.press('Tab');
  assert.match(await panel(), /^Source\n/);
  await page.locator('.edge').first().focus();
  await page.keyboard.press('Enter');
  assert.match(await panel(), /^Line/);
  assert.match(await panel(), /Pinned/);
});

test('the filter takes words of names, and filters picture, totals and table', async () => {
  await open(demo);
  await page.getByLabel('Filter').fill('shop LIMITS');
  assert.deepEqual(await page.locator('.box .name').allTextContents(), [
    'bpfman program rate-limiter',
    'limits',
    'checkout',
    'checkout-5b7c8d9f6-h4xkt',
    'checkout-5b7c8d9f6-r9m2q',
  ]);
  assert.equal(await rows(), 3);
  assert.match(await page.locator('#totals').innerText(), /^Pods\s+2\s/);
  await page.getByLabel('Filter').fill('nothing of this name');
  await page.getByText('Nothing matches.').waitFor();
  await page.getByLabel('Filter').fill('');
  assert.equal(await rows(), 30);
});

test('a node can be chosen', async () => {
  await open(demo);
  await page.locator('#node').selectOption('worker-a');
  const details = await page
    .locator('.box')
    .filter({ has: page.locator('.name') })
    .evaluateAll((all) => all.map((one) => one.getAttribute('aria-label') ?? ''));
  const pods = details.filter((label) => label.startsWith('Pod '));
  assert.equal(pods.length, 7);
  assert.ok(pods.every((label) => label.includes('worker-a')));
  assert.equal(await box('Map', 'old-metrics').count(), 0, 'a map that nobody uses belongs to no node');
});

test('a group opens with a click, and all groups with a button', async () => {
  await open(demo);
  const collapsed = await columns();
  await page.getByLabel('3 pods, 3 nodes').first().click();
  assert.equal(await columns(), collapsed + 2);
  assert.match((await page.locator('.box:focus').getAttribute('aria-label')) ?? '', /^Pod flow-collector-/);
  await page.getByRole('button', { name: 'Expand all' }).click();
  assert.equal(await page.locator('.box.group').count(), 0);
  await page.getByRole('button', { name: 'Collapse all' }).click();
  assert.ok((await page.locator('.box.group').count()) > 0);
});

test('boxes do not overlap, and stay in the picture', async () => {
  await open(demo);
  await page.getByRole('button', { name: 'Expand all' }).click();
  const places = await page
    .locator('.box')
    .evaluateAll((all) => all.map((one) => one.getBoundingClientRect().toJSON()));
  const picture = await page.locator('#picture').boundingBox();
  assert.ok(picture);
  for (const [index, a] of places.entries()) {
    assert.ok(
      a.left >= picture.x - 1 &&
        a.right <= picture.x + picture.width + 1 &&
        a.top >= picture.y - 1 &&
        a.bottom <= picture.y + picture.height + 1,
    );
    for (const b of places.slice(index + 1))
      assert.ok(a.right < b.left || b.right < a.left || a.bottom < b.top || b.bottom < a.top);
  }
});

test('is dark where the reader prefers that', async () => {
  await open(demo);
  const background = () =>
    page.locator('body').evaluate((body) => body.ownerDocument.defaultView?.getComputedStyle(body).backgroundColor);
  assert.equal(await background(), 'rgb(246, 247, 249)');
  await page.emulateMedia({ colorScheme: 'dark' });
  assert.equal(await background(), 'rgb(18, 22, 29)');
});

test('fits on a phone: only picture and table scroll sideways', async () => {
  await page.setViewportSize({ width: 390, height: 844 });
  await open(demo);
  assert.equal(await page.locator('html').evaluate((html) => html.scrollWidth), 390);
});

test('1,000 pods of 200 service accounts are groups that open', async () => {
  await open(large());
  assert.match(await page.locator('#totals').innerText(), /Pods\s+1,000\s+Service accounts\s+200\s/);
  assert.ok((await columns()) < 100);
  assert.equal(await rows(), 200);
  await page.getByRole('button', { name: 'Show 2,800 more rows' }).click();
  assert.equal(await rows(), 3000);
  await box('Service account', 'team-3').click();
  await page.getByRole('button', { name: 'Expand all' }).click();
  assert.equal(await page.locator('.box').and(page.getByLabel(/^Pod /)).count(), 1000);
});

test('hostile names are shown as text', async () => {
  await open(hostile);
  const name = visible(HOSTILE);
  assert.equal(await page.title(), `BPF maps of ${name}`);
  assert.equal(await page.locator('h1').innerText(), `BPF maps of ${name}`);
  assert.deepEqual(await page.locator('.box .name').allTextContents(), [name, name, name, name]);
  await page.locator('.box').nth(1).hover();
  assert.ok((await panel()).includes(name));
  assert.equal(await page.locator('img').count(), 0);
  assert.equal(await page.locator('script').count(), 2);
});

test('an empty cluster is no error', async () => {
  await open({ ...demo, bpfMaps: [], nodes: [] });
  await page.getByText('There is no BpfMap').waitFor();
});
