import assert from 'node:assert/strict';
import { access, glob, readFile } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { createControllerMetrics } from '../../src/controller/metrics.ts';
import { bpfDelegationSchema } from '../../src/maps/bpf-delegation-schema.ts';
import { bpfMapSchema } from '../../src/maps/bpf-map-schema.ts';
import { createNodeMetrics } from '../../src/node/metrics.ts';

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

test('every BpfMap in them is one, and every BpfDelegation', () => {
  const blocks = docs.flatMap(([file, text]) =>
    Array.from(text.matchAll(/^```yaml\n(.*?)^```/gms), ([, yaml = '']) => ({ file, object: parse(yaml) })),
  );
  const maps = blocks.filter(({ object }) => object.kind === 'BpfMap');
  assert(maps.length >= 3);
  for (const { file, object } of maps)
    assert(bpfMapSchema.safeParse(object).success, `${file}: ${object.metadata.name}`);
  const delegations = blocks.filter(({ object }) => object.kind === 'BpfDelegation');
  assert(delegations.length >= 1);
  for (const { file, object } of delegations)
    assert(bpfDelegationSchema.safeParse(object).success, `${file}: ${object.metadata.name}`);
});

test('the driver says what troubleshooting.md says that it says', async () => {
  const sources: string[] = [];
  for await (const file of glob(['src/**/*.ts', 'native/src/**/*.rs', 'deploy/chart/templates/*'], { cwd: ROOT })) {
    if (!file.includes('generated') && !file.endsWith('.test.ts'))
      sources.push(await readFile(join(ROOT, file), 'utf8'));
  }
  // As if every value were quoted in the template: "{x:?}" in Rust, ${quote(x)} in TypeScript.
  const said = sources
    .join('\n')
    .replaceAll('\\"', '"')
    .replaceAll(/\{(\w*):\?\}/g, '"{$1}"')
    .replaceAll(/\$\{quote\(([^)]*)\)\}/g, '"$${$1}"');
  const troubleshooting = documents.get('docs/troubleshooting.md') ?? '';
  const cells = Array.from(troubleshooting.matchAll(/^\| (`.*?) \|/gm), ([, cell = '']) => cell);
  const texts = cells.flatMap((cell) => Array.from(cell.matchAll(/`([^`]+)`/g), ([, text = '']) => text));
  const ours = texts.filter((text) => !OF_OTHERS.some((other) => text.includes(other)));
  assert(ours.length > 60);
  // The field's name comes before its problem.
  const parts = ours.flatMap((text) =>
    text
      .replace(/^[\w.…]+: /, '')
      .replaceAll(/"[^"]*"/g, '"…"')
      .split(FILLED_IN),
  );
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

test('a command that looks at several objects shows all that it should', () => {
  for (const [file, text] of documents) {
    for (const [command] of text.matchAll(/kubectl [^`\n|]*\b(?:describe|logs) [^`\n|]*/g)) {
      // Of several objects, kubectl shows events only if told to.
      const several = /describe \S+$/.test(command.trim()) || /describe \S*,/.test(command);
      assert(!several || command.includes('--show-events'), `${file}: ${command}`);
      // It picks one pod, which may be the one that waits, or one of another node.
      assert(!/logs (?:-\S+ )*(?:deployment|daemonset)\//.test(command), `${file}: ${command}`);
    }
  }
});

test('every value of the chart that they set is one', async () => {
  const values = parse(await readFile(join(ROOT, 'deploy/chart/values.yaml'), 'utf8'));
  const set = [...documents].flatMap(([file, text]) =>
    Array.from(text.matchAll(/--set '?([\w.]+)=/g), ([, path = '']) => ({ file, path })),
  );
  assert(set.length > 15);
  for (const { file, path } of set) {
    const keys = path.split('.');
    // An object that is empty by default takes any key.
    const found = keys.reduce((value, key) => (isEmpty(value) ? value : value?.[key]), values);
    assert(found !== undefined, `${file}: ${path}`);
  }
});

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

test('metrics.md lists every metric, and no others', async () => {
  const pages = await Promise.all([createNodeMetrics().render(), createControllerMetrics().render()]);
  const known = new Set(
    pages.flatMap((page) => Array.from(page.matchAll(/^# TYPE (bpffs_\w+)/gm), ([, name]) => name)),
  );
  const listed = new Set(documents.get('docs/metrics.md')?.match(/\bbpffs_\w+/g));
  assert.deepEqual([...listed].toSorted(), [...known].toSorted());
});

/** Placeholders, and what varies. */
const FILLED_IN =
  /[…(]|\b(?:bpfmaps\.bpffs\.dev|topology\.csi\.bpffs\.dev\/node|pinner\.sock|(?:read|write) map|map|claim|ClusterBpfApplication|kubectl create role|ReadOnly|did you mean)\b/;

/** Messages of Kubernetes, the container runtime, external-provisioner or OpenShift. */
const OF_OTHERS = [
  'list of registered CSI drivers',
  'VOLUME_MOUNT_GROUP',
  'MOUNT_ATTR_IDMAP',
  'cannot load seccomp profile',
  'desc =',
  'hostPath type check failed',
  'is not a shared mount',
  'insufficient quota',
  'violates PodSecurity',
  'security context constraint',
  'waiting for first consumer',
  'Waiting for a volume to be created',
  'no topology key found',
  "didn't match PersistentVolume",
];

/** Heading anchors as GitHub makes them. */
function anchors(markdown: string): readonly string[] {
  return Array.from(markdown.matchAll(/^#+ (.*)$/gm), ([, title = '']) =>
    title
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}
