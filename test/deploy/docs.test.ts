import assert from 'node:assert/strict';
import { access, glob, readFile } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { bpfMapSchema } from '../../src/maps/bpf-map-schema.ts';

const ROOT = new URL('../../', import.meta.url).pathname;

const documents = new Map<string, string>();
for await (const file of glob(['*.md', 'docs/*.md'], { cwd: ROOT })) {
  documents.set(file, await readFile(join(ROOT, file), 'utf8'));
}
const docs = [...documents].filter(([file]) => file.startsWith('docs/'));

test('every link leads somewhere', async () => {
  for (const [file, text] of documents) {
    for (const [, path = '', anchor] of text.matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)/g)) {
      const target = path === '' ? file : normalize(join(dirname(file), path));
      if (anchor === undefined) {
        await assert.doesNotReject(access(join(ROOT, target)), `${file}: ${path}`);
      } else {
        assert(anchors(documents.get(target) ?? '').includes(anchor), `${file}: ${path}#${anchor}`);
      }
    }
  }
});

test('every file that they name is there', async () => {
  const named = [...documents].flatMap(([file, text]) =>
    Array.from(text.matchAll(/`((?:test|src|native|deploy|proto|scripts)\/[\w./-]+\.\w+)`/g), ([, path = '']) => ({
      file,
      path,
    })),
  );
  assert(named.length > 20);
  for (const { file, path } of named) await assert.doesNotReject(access(join(ROOT, path)), `${file}: ${path}`);
});

test('every promise names the test that holds it', () => {
  for (const [file, section] of [
    ['SECURITY.md', 'What is promised'],
    ['SECURITY.md', 'Trust boundaries'],
  ] as const) {
    const [text = ''] = documents.get(file)?.match(new RegExp(`^## ${section}$.*?(?=^## )`, 'ms')) ?? [];
    const promises = text.split(/^- /m).slice(1);
    assert(promises.length > 4, section);
    for (const promise of promises) assert.match(promise, /`(test|src|native)\/[\w/.-]+`/, `${file}: ${promise}`);
  }
});

test('every BpfMap in them is one', () => {
  const blocks = docs.flatMap(([file, text]) =>
    Array.from(text.matchAll(/^```yaml\n(.*?)^```/gms), ([, yaml = '']) => ({ file, object: parse(yaml) })),
  );
  const maps = blocks.filter(({ object }) => object.kind === 'BpfMap');
  assert(maps.length >= 3);
  for (const { file, object } of maps)
    assert(bpfMapSchema.safeParse(object).success, `${file}: ${object.metadata.name}`);
});

test('the driver says what troubleshooting.md says that it says', async () => {
  const sources: string[] = [];
  for await (const file of glob(['src/**/*.ts', 'native/src/**/*.rs', 'deploy/chart/templates/*'], { cwd: ROOT })) {
    if (!file.includes('generated') && !file.endsWith('.test.ts'))
      sources.push(await readFile(join(ROOT, file), 'utf8'));
  }
  const said = sources.join('\n');
  const pods = /^## There is no pod$.*^## The pod waits$.*?(?=^## )/ms;
  const [section = ''] = documents.get('docs/troubleshooting.md')?.match(pods) ?? [];
  const cells = Array.from(section.matchAll(/^\| (`.*?) \|/gm), ([, cell = '']) => cell);
  const texts = cells.flatMap((cell) => Array.from(cell.matchAll(/`([^`]+)`/g), ([, text = '']) => text));
  const ours = texts.filter((text) => !OF_OTHERS.some((other) => text.includes(other)));
  assert(ours.length > 30);
  // The field's name comes before its problem.
  const parts = ours.flatMap((text) => text.replace(/^[\w.…]+: /, '').split(FILLED_IN));
  const unsaid = parts.map((part) => part.trim()).filter((part) => part.length > 3 && !said.includes(part));
  assert.deepEqual(unsaid, []);
});

test('troubleshooting.md explains every event of the driver, and no others', async () => {
  const reasons = new Set<string>();
  for await (const file of glob('src/*/*-events.ts', { cwd: ROOT })) {
    const text = await readFile(join(ROOT, file), 'utf8');
    for (const [, reason = ''] of text.matchAll(/\b([A-Z]\w+): '(?:Normal|Warning)'/g)) reasons.add(reason);
  }
  const explained = documents.get('docs/troubleshooting.md') ?? '';
  const rows = explained.match(/^\| (?:event )?`[A-Z][a-z]+[A-Z]\w+`.*? \|/gm) ?? [];
  const named = rows.flatMap((row) => Array.from(row.matchAll(/`([A-Z]\w+)`/g), ([, reason]) => reason));
  assert(reasons.size > 5);
  assert.deepEqual(
    [...reasons].filter((reason) => !explained.includes(`\`${reason}\``)),
    [],
  );
  assert.deepEqual(
    named.filter((reason = '') => !reasons.has(reason)),
    [],
  );
});

/** Placeholders, and what varies. */
const FILLED_IN =
  /[…(]|"[^"]*"|\b(?:bpfmaps\.bpffs\.dev|pinner\.sock|(?:read|write) map|map|claim|ClusterBpfApplication|kubectl create role|ReadOnly)\b/;

/** Messages of the kubelet or the container runtime. */
const OF_OTHERS = ['list of registered CSI drivers', 'MOUNT_ATTR_IDMAP', 'cannot load seccomp profile', 'desc ='];

/** Heading anchors as GitHub makes them. */
function anchors(markdown: string): readonly string[] {
  return Array.from(markdown.matchAll(/^#+ (.*)$/gm), ([, title = '']) =>
    title
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}
