import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Right, Verb } from '../../src/access/access.ts';
import { CallError, Code, notFound, unavailable } from '../../src/errors.ts';
import type { BpfMap } from '../../src/maps/catalog.ts';
import { createDenials } from '../../src/node/denials.ts';
import { createNodeMetrics } from '../../src/node/metrics.ts';
import type { Policy } from '../../src/node/policy.ts';
import { publish } from '../../src/node/publish.ts';
import type { PublishParts } from '../../src/node/publish-parts.ts';
import { createPublished } from '../../src/node/published.ts';
import type { Pinner } from '../../src/pinner/pinner.ts';
import type { Call } from '../../src/rpc/adapter.ts';
import { Access, PublishVolumeResponse_Outcome as Outcome, type Source } from '../../src/rpc/pinner.ts';
import { EMPTY_VOLUME } from './empty-volume.ts';
import { publishRequest } from './harness.ts';
import { changesBetween, publishFiles, type VolumeFile, type VolumeFiles } from './volume-files.ts';

/** The BpfMaps that may exist. Each may be in each file. */
const NAMES = ['a', 'b', 'c'] as const;
const SOURCES = ['1', '2', '3'] as const;

/** The source with a map of maps. If it is writable, or the pod has a workspace, no map may be read-only. */
const MAP_OF_MAPS = 3;

type Name = (typeof NAMES)[number];

/** Everything that may change between two publishes of a volume. */
interface World {
  /** Undefined if there is no such BpfMap. */
  readonly maps: Readonly<
    Record<Name, (Pick<BpfMap, 'fileName' | 'maxAccess'> & { readonly source: string }) | undefined>
  >;
  readonly grants: Readonly<Record<Name, readonly Right[]>>;
  /** Sources that have a map; a source's number is the map's id. */
  readonly there: readonly string[];
  /** Sources for which the API server does not answer. */
  readonly unknown: readonly string[];
}

const each = <T>(value: fc.Arbitrary<T>) => fc.record({ a: value, b: value, c: value });
const world: fc.Arbitrary<World> = fc.record({
  maps: each(
    fc.option(
      fc.record({
        fileName: fc.constantFrom(...NAMES),
        maxAccess: fc.constantFrom('ReadOnly' as const, 'ReadWrite' as const),
        source: fc.constantFrom(...SOURCES),
      }),
      { nil: undefined, freq: 5 },
    ),
  ),
  grants: each(fc.subarray(['read', 'write'] as Verb[])),
  there: fc.subarray([...SOURCES]),
  unknown: fc.subarray([...SOURCES], { maxLength: 1 }),
});
const asked = fc.record({
  a: fc.constantFrom('', ':rw'),
  b: fc.constantFrom('', ':rw'),
  c: fc.constantFrom('', ':rw'),
});

/** All maps exist, and everything is granted. */
const BEGINNING: World = {
  maps: {
    a: { fileName: 'a', maxAccess: 'ReadWrite', source: '1' },
    b: { fileName: 'b', maxAccess: 'ReadWrite', source: '2' },
    c: { fileName: 'c', maxAccess: 'ReadWrite', source: '3' },
  },
  grants: { a: ['read', 'write'], b: ['read', 'write'], c: ['read', 'write'] },
  there: SOURCES,
  unknown: [],
};

/** A node in the world that `world` returns, with one volume. */
function startNode(world: () => World, hasWorkspace: boolean) {
  let files: VolumeFiles | undefined;
  /** Whether the volume was created with a writable map of maps. */
  let carries = false;

  /** pinner.proto's rule for carriers beside read-only maps: a new volume is refused, and a mounted one is narrowed. */
  function narrowed(planned: VolumeFiles): VolumeFiles {
    const isCarrier = ({ mapId, access }: VolumeFile) => mapId === MAP_OF_MAPS && access === Access.READ_WRITE;
    const isReadOnly = ({ access }: VolumeFile) => access === Access.READ_ONLY;
    const all = [...planned.values()];
    if (files === undefined) {
      if (all.some(isReadOnly) && (hasWorkspace || all.some(isCarrier))) {
        throw { code: Code.FAILED_PRECONDITION, details: 'a carrier beside a map to read' };
      }
      carries = all.some(isCarrier);
      return planned;
    }
    const lowered = [...planned].map(([path, file]): [string, VolumeFile] => [
      path,
      !carries && isCarrier(file) ? { ...file, access: Access.READ_ONLY } : file,
    ]);
    return new Map(lowered.filter(([, file]) => !isReadOnly(file) || !(carries || hasWorkspace)));
  }

  const policy: Partial<Policy> = {
    catalog: {
      find(name) {
        const spec = world().maps[name as Name];
        if (spec === undefined) return undefined;
        const source = { pinned: { path: spec.source } } as const;
        return { ...spec, name, source: { kind: 'node', source } };
      },
      names: () => NAMES.filter((name) => world().maps[name] !== undefined),
    },
    access: {
      check: async (_, name, verb) =>
        world().grants[name as Name].includes(verb)
          ? { allowed: true, rule: 'a role' }
          : { allowed: false, remedy: 'ask' },
    },
    resolveSource({ source }) {
      assert(source.kind === 'node');
      if (world().unknown.includes(idOf(source.source))) throw unavailable('the API server is away');
      return source.source;
    },
    requireTrusted() {},
    identify: async (pod) => pod,
  };
  const pinner: Partial<Pinner> = {
    async describeVolume() {
      if (files === undefined) throw notFound('no volume');
      return EMPTY_VOLUME;
    },
    async publishVolume(request) {
      const before = files;
      try {
        const { files: planned, refusals } = publishFiles(before, request, (source) =>
          world().there.includes(idOf(source)) ? Number(idOf(source)) : undefined,
        );
        files = narrowed(planned);
        return {
          outcome: Outcome.REPLACED,
          changes: before === undefined ? [] : changesBetween(before, files),
          refusals,
          maps: [],
        };
      } catch (status) {
        const { code, details } = status as { code: Code; details: string };
        throw new CallError(code, details);
      }
    },
  };
  const parts = {
    nodeId: 'node-1',
    policy,
    events: { record() {} },
    pinner,
    metrics: createNodeMetrics(),
    published: createPublished(),
    denials: createDenials(),
    audit: { published() {}, refused() {}, refusedDelegation() {} },
  } as PublishParts;
  const call: Call = {
    signal: new AbortController().signal,
    deadline: Number.POSITIVE_INFINITY,
    note() {},
    quiet() {},
  };
  return {
    files: () => files,
    hasCarrier: () => carries || hasWorkspace,
    async publish(maps: string): Promise<CallError | undefined> {
      const request = publishRequest((r) => {
        r.volumeContext.maps = maps;
      });
      return await publish(request, request, parts, call).then(() => undefined, CallError.from);
    },
  };
}

function idOf(source: Source): string {
  assert(source.pinned);
  return source.pinned.path;
}

/** What the pod may do with a map by the present grants. */
function mayDo(name: Name, verb: Verb, { maps, grants }: World): Access | undefined {
  const map = maps[name];
  if (map === undefined) return undefined;
  if (verb === 'write' && map.maxAccess === 'ReadWrite' && grants[name].includes('write')) return Access.READ_WRITE;
  return grants[name].includes('read') ? Access.READ_ONLY : undefined;
}

test('whatever changes, a pod has no more than what is granted, or what it had of the same BpfMap', async () => {
  let renewals = 0;
  await fc.assert(
    fc.asyncProperty(
      asked,
      fc.boolean(),
      fc.array(world, { minLength: 1, maxLength: 8 }),
      async (verbs, hasWorkspace, worlds) => {
        const verbOf = (name: string) => (verbs[name as Name] === '' ? 'read' : 'write');
        let current = BEGINNING;
        const node = startNode(() => current, hasWorkspace);
        for (const now of [BEGINNING, ...worlds]) {
          current = now;
          const before = node.files();
          const error: CallError | undefined = await node.publish(NAMES.map((name) => `${name}${verbs[name]}`).join());
          const after = node.files();
          if (before === undefined || after === undefined) {
            // A new volume is what was asked for, or does not exist.
            assert.equal(after === undefined, error !== undefined);
            if (after !== undefined) assert.equal(after.size, NAMES.length);
          } else {
            renewals += 1;
            assert.equal(error, undefined);
          }
          for (const [path, { name, mapId, access }] of after ?? []) {
            const spec = now.maps[name as Name];
            const may = mayDo(name as Name, verbOf(name), now);
            assert(may !== undefined, `${name} may not be had`);
            assert(access === Access.READ_ONLY || may === Access.READ_WRITE, `${name} may not be written`);
            assert.equal(path, spec?.fileName);
            const kept = before?.get(path);
            const isKept =
              kept?.name === name && kept.mapId === mapId && (access === Access.READ_ONLY || kept.access === access);
            const isNew = Number(spec?.source) === mapId && now.there.includes(`${mapId}`);
            assert(isKept || isNew, `${path} is map ${mapId} of ${name}, which it was not, and is not`);
          }
          for (const [path, { name }] of before ?? []) {
            // A read-only map must be removed if something could write it.
            const may = mayDo(name as Name, verbOf(name), now);
            const isLess = may === undefined || (may === Access.READ_ONLY && node.hasCarrier());
            if (isLess || now.maps[name as Name]?.fileName !== path) continue;
            assert.equal(after?.get(path)?.name, name, `${path} of ${name} was taken for no reason`);
          }
        }
      },
    ),
    { numRuns: 3000 },
  );
  assert(renewals > 1000, `${renewals} looks at a running pod`);
});
