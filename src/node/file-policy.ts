import { createFileAccess, parseGrants } from '../access/grants-file.ts';
import type { Logger } from '../logger.ts';
import { type ReloadedFile, reloadFile } from '../manifest/reloaded-file.ts';
import { noSuchDelegation } from '../maps/bpf-delegation.ts';
import { parseCatalog } from '../maps/catalog-file.ts';
import { readVolumeDirectory } from '../volumes/volume-directory.ts';
import type { FilePolicyConfig } from './config.ts';
import type { NodeMetrics } from './metrics.ts';
import type { OpenPolicy, Policy, PolicyState } from './policy.ts';
import { createSourceResolver, type SourceResolverParts } from './source-resolver.ts';

/** The policy of files, which are read again when they change. Throws BadConfiguration when one of them cannot be used at start. */
export function openFilePolicy(
  { catalog: catalogFile, grants: grantsFile, volumes: directory }: FilePolicyConfig,
  { nodeId, kept }: Pick<SourceResolverParts, 'nodeId' | 'kept'>,
  log: Logger,
  metrics: NodeMetrics,
): OpenPolicy {
  using stack = new DisposableStack();
  const follow = <T>(file: 'catalog' | 'grants', path: string, parse: (text: string, path: string) => T) =>
    stack.adopt(followFile(file, path, parse, log, metrics), (followed) => followed.close());
  const catalog = follow('catalog', catalogFile, parseCatalog);
  const grants = follow('grants', grantsFile, parseGrants);
  const volumes = directory === undefined ? undefined : readVolumeDirectory(directory);
  const opened = stack.move();
  const policy: Policy = {
    catalog: { find: (name) => catalog.current().maps.get(name), names: () => [...catalog.current().maps.keys()] },
    async findDelegation(name) {
      const { delegations } = catalog.current();
      const found = delegations.get(name);
      if (found === undefined) throw noSuchDelegation(name, delegations.keys());
      return found;
    },
    access: createFileAccess(grantsFile, grants.current),
    resolveSource: createSourceResolver({ nodeId, volumes, kept, bpfman: undefined }),
    volumes,
    // Only root can use the socket, and what root says of a pod cannot be checked here.
    requireTrusted() {},
    provesIdentity: false,
    identify: async (pod) => pod,
  };
  const state = (): PolicyState => ({
    catalog: { maps: catalog.current().maps.size, invalid: 0 },
    watches: [],
    csiDriver: undefined,
  });
  return {
    policy,
    events: { record() {} },
    nodeEvents: { record() {} },
    synced: Promise.resolve(),
    requireReady() {},
    state,
    updateMetrics: () => metrics.catalogSeen(state().catalog),
    close: async () => opened.dispose(),
  };
}

function followFile<T>(
  file: 'catalog' | 'grants',
  path: string,
  parse: (text: string, path: string) => T,
  log: Logger,
  metrics: NodeMetrics,
): ReloadedFile<T> {
  const followed = reloadFile(path, parse, (reload) => {
    metrics.fileReloaded(file, reload.ok);
    if (reload.ok) log.info({ path }, `new ${file} in use`);
    else log.error({ path, problems: reload.problems }, `bad ${file}; the one before stays in use`);
  });
  metrics.fileReloaded(file, true);
  return followed;
}
