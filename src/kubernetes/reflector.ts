import { setTimeout as sleep } from 'node:timers/promises';
import { CallError, unavailable } from '../errors.ts';
import { ApiError, SILENCE } from './api-error.ts';
import type { KubernetesClient } from './client.ts';
import { fullName, type KubernetesObject, keyOf, type Resource } from './resource.ts';

/** How a copy of the API server's objects is. */
export interface Freshness {
  /** Seconds since the last contact with the API server; Infinity: never. A healthy watch has contact about every minute. */
  staleness(): number;
  /** The last error of an outage that is not over; undefined: there is none. */
  failure(): CallError | undefined;
}

/** A cache of all objects of a kind that keeps itself up to date, whatever happens to the API server. */
export interface Reflector<T> extends Freshness {
  /** Resolves after the first complete list; rejects if closed before. */
  synced(): Promise<void>;
  /** Whether there was a complete list. */
  readonly isSynced: boolean;
  /** By "name" or "namespace/name". Empty before the first complete list. */
  current(): ReadonlyMap<string, T>;
  /** Throws UNAVAILABLE, saying why, before the first complete list and while `staleness` is more than `maxSeconds`. */
  requireFresh(maxSeconds: number): void;
  /** Undefined: there is no such object. Throws UNAVAILABLE for one that may have been created during an outage, saying why. */
  find(key: string): T | undefined;
  close(): void;
}

export interface ReflectorOptions<T> {
  readonly client: Pick<KubernetesClient, 'list' | 'watch' | 'server'>;
  readonly resource: Resource;
  readonly namespace?: string;
  readonly fieldSelector?: string;
  readonly labelSelector?: string;
  /** Objects in a page of a list, where all at once would take too much memory. Default: all. */
  readonly pageSize?: number;
  /** Converts an object to what is cached. Must not throw. */
  parse(object: KubernetesObject): T;
  /** An object was created, changed or deleted (undefined). Not called for objects that a list shows unchanged. Must not throw. */
  changed?(key: string, value: T | undefined): void;
  /** A complete list was read: changes before it may have gone unseen, if they were undone. Must not throw. */
  listed?(): void;
  /** Called with the first error of an outage, and with undefined at its end. Must not throw. */
  failing?(error: CallError | undefined): void;
  readonly timing?: Partial<ReflectorTiming>;
}

export interface ReflectorTiming {
  /** The first delay after a failure; it doubles up to maxBackoffMs. */
  readonly minBackoffMs: number;
  readonly maxBackoffMs: number;
  /** The API server sends a bookmark about every minute; a watch that is silent for longer than this is dead. */
  readonly idleTimeoutMs: number;
  /** A watch is renewed after once to twice this time, so that clients are spread over the API servers. */
  readonly watchTimeoutMs: number;
}

/** How long a cache may be used without contact to the API server: longer than any watch is silent. Changes in this time go unnoticed. */
export const MAX_STALENESS_SECONDS = 300;

const TIMING: ReflectorTiming = {
  minBackoffMs: 500,
  maxBackoffMs: 30_000,
  idleTimeoutMs: 150_000,
  watchTimeoutMs: 300_000,
};

/** A watch that lasted this long was no failure, however it ends. */
const LIVELY_MS = 5000;
/** Listing a whole kind takes longer than other requests. */
const LIST_TIMEOUT_MS = 60_000;

/** The next request: a list that is not older than this version ('': the most recent), or a watch from this version. */
type Step = { readonly list: string } | { readonly watch: string };

interface Entry<T> {
  readonly resourceVersion: string;
  readonly value: T;
}

/**
 * Starts at once with a list of the most recent state, followed by a watch. From then on the cache never goes back in time: an API server's
 * own cache may be older than what this process knew before it restarted, and running pods would lose the maps that are missing there.
 * After a broken connection the watch resumes; after silence, and after any other error, such as 410 Gone, the kind is listed again. Stops
 * only when closed.
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
 */
export function startReflector<T>(options: ReflectorOptions<T>): Reflector<T> {
  const { client, resource, namespace, fieldSelector, labelSelector } = options;
  const timing = { ...TIMING, ...options.timing };
  const selection = {
    ...(namespace !== undefined && { namespace }),
    ...(fieldSelector !== undefined && { fieldSelector }),
    ...(labelSelector !== undefined && { labelSelector }),
  };
  const closing = new AbortController();
  const { signal } = closing;
  const first = Promise.withResolvers<void>();
  first.promise.catch(() => undefined);

  const entries = new Map<string, Entry<T>>();
  const values = new Map<string, T>();
  let isSynced = false;
  let lastContact = Number.NEGATIVE_INFINITY;
  let failure: CallError | undefined;
  let next: Step = { list: '' };
  let failures = 0;

  const recordContact = () => {
    lastContact = performance.now();
    if (failure === undefined) return;
    failure = undefined;
    options.failing?.(undefined);
  };

  /** What is known of this version of the object already, or what its object says. */
  function entryOf(object: KubernetesObject): readonly [string, Entry<T>] {
    const { resourceVersion } = object.metadata;
    const key = keyOf(object.metadata);
    const known = entries.get(key);
    return [
      key,
      known?.resourceVersion === resourceVersion ? known : { resourceVersion, value: options.parse(object) },
    ];
  }

  function put(key: string, entry: Entry<T>): void {
    if (entries.get(key) === entry) return;
    entries.set(key, entry);
    values.set(key, entry.value);
    options.changed?.(key, entry.value);
  }

  function remove(key: string): void {
    if (!entries.delete(key)) return;
    values.delete(key);
    options.changed?.(key, undefined);
  }

  async function list(resourceVersion: string): Promise<void> {
    const paged = { ...selection, ...(options.pageSize !== undefined && { limit: options.pageSize }) };
    const listed = new Map<string, Entry<T>>();
    const each = (object: KubernetesObject) => void listed.set(...entryOf(object));
    const limits = { timeoutMs: LIST_TIMEOUT_MS, signal, each };
    let page = await client.list(resource, { ...paged, ...(resourceVersion !== '' && { resourceVersion }) }, limits);
    while (page.continue !== undefined) {
      // The continue token determines the version of the other pages.
      page = await client.list(resource, { ...paged, continue: page.continue }, limits);
    }
    for (const [key, entry] of listed) put(key, entry);
    for (const key of entries.keys()) if (!listed.has(key)) remove(key);
    next = { watch: page.resourceVersion };
    isSynced = true;
    lastContact = performance.now();
    options.listed?.();
    first.resolve();
  }

  async function watch(resourceVersion: string): Promise<void> {
    const timeoutSeconds = Math.ceil((timing.watchTimeoutMs * (1 + Math.random())) / 1000);
    const query = { ...selection, resourceVersion, timeoutSeconds };
    const started = performance.now();
    const limits = { signal, idleTimeoutMs: timing.idleTimeoutMs, opened: recordContact };
    let events = 0;
    for await (const { type, object } of client.watch(resource, query, limits)) {
      recordContact();
      events += 1;
      failures = 0;
      next = { watch: object.metadata.resourceVersion };
      if (type === 'DELETED') remove(keyOf(object.metadata));
      else if (type !== 'BOOKMARK') put(...entryOf(object));
    }
    if (events > 0 || performance.now() - started > LIVELY_MS) failures = 0;
    else throw unavailable(`the API server at ${client.server} ends each watch of ${fullName(resource)} at once`);
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      try {
        if ('list' in next) await list(next.list);
        else await watch(next.watch);
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof ApiError) next = nextAfter(error, next);
        failures += 1;
        const isNew = failure === undefined;
        failure = CallError.from(error);
        if (isNew) options.failing?.(failure);
        await pause();
      }
    }
  }

  async function pause(): Promise<void> {
    const maxMs = Math.min(timing.maxBackoffMs, timing.minBackoffMs * 2 ** (failures - 1));
    await sleep(maxMs * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => undefined);
  }

  void run();
  const staleness = () => (performance.now() - lastContact) / 1000;
  const silence = () => (isSynced ? `for ${Math.round(staleness())} s` : 'yet');
  return {
    synced: () => first.promise,
    get isSynced() {
      return isSynced;
    },
    current: () => values,
    staleness,
    failure: () => failure,
    requireFresh(maxSeconds) {
      if (isSynced && staleness() <= maxSeconds) return;
      const why = failure === undefined ? '' : `: ${failure.message}`;
      throw unavailable(`nothing is known of ${fullName(resource)} ${silence()}${why}`, failure);
    },
    find(key) {
      if (values.has(key) || failure === undefined) return values.get(key);
      throw unavailable(
        `nobody can tell whether "${key}" exists: nothing new is known of ${fullName(resource)} ${silence()}: ${failure.message}`,
        failure,
      );
    },
    close() {
      closing.abort(unavailable('closed'));
      first.reject(unavailable(`the copy of ${fullName(resource)} is closed`));
    },
  };
}

function nextAfter(error: ApiError, failed: Step): Step {
  // From the API server's cache: all of its clients may have to list at the same time.
  if ('watch' in failed) return needsList(error) ? { list: failed.watch } : failed;
  // The known version is older than the API server remembers, or newer than its newest, because it was restored from a backup.
  return error.status === 410 || error.status === 504 ? { list: '' } : failed;
}

/** A watch from a version beyond the API server's newest is accepted, but never receives anything. */
function needsList({ status, reason }: ApiError): boolean {
  return reason === SILENCE || (status !== undefined && status !== 429);
}
