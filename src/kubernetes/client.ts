import type { IncomingMessage } from 'node:http';
import type { KubeConfig } from '@kubernetes/client-node';
import { CallError, whileWaiting } from '../errors.ts';
import { createLimiter } from '../process/limiter.ts';
import {
  type ApiRequest,
  type Caller,
  describe,
  fromAnswer,
  fromFailure,
  fromWatchError,
  isRecord,
  SILENCE,
} from './api-error.ts';
import { readList } from './read-list.ts';
import { fullName, type KubernetesObject, type ObjectKey, type Resource, resourcePath } from './resource.ts';
import { createTransport, MAX_CONCURRENT_REQUESTS, type TransportRequest } from './transport.ts';

/**
 * The part of the Kubernetes API that the driver needs. All methods throw an ApiError for an unsuccessful response and when the API server
 * does not respond within the timeout; an aborted signal throws its reason.
 */
export interface KubernetesClient {
  get(resource: Resource, key: ObjectKey, limits?: Limits): Promise<KubernetesObject>;
  list(resource: Resource, query?: ListQuery, limits?: ListLimits): Promise<KubernetesList>;
  /** Ends when the server ends it, which it does every few minutes. An ERROR event is thrown like an unsuccessful response. */
  watch(resource: Resource, query: WatchQuery, limits: WatchLimits): AsyncIterable<WatchEvent>;
  /** Also for reviews, whose result is in the returned object. */
  create(resource: Resource, object: NewObject, limits?: Limits): Promise<KubernetesObject>;
  /** `patch`: https://www.rfc-editor.org/rfc/rfc7386 (JSON Merge Patch). */
  patch(resource: Resource, key: ObjectKey, patch: object, limits?: Limits): Promise<KubernetesObject>;
  /** Throws ABORTED if another object has the name by now. */
  delete(resource: Resource, key: ObjectKey & { readonly uid: string }, limits?: Limits): Promise<void>;
  /** "host:port", for error texts. */
  readonly server: string;
  close(): void;
}

export interface Limits {
  /**
   * The timeout of the response, from when the request is sent. Before, while it is queued: the time between two responses to earlier
   * requests. Default: 10 s.
   */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface ListLimits extends Limits {
  /** Takes each object as soon as it is there, in place of `items`; also those of a list that fails later. */
  each?(object: KubernetesObject): void;
}

export interface WatchLimits {
  readonly signal: AbortSignal;
  /** The watch throws after this time without any data. */
  readonly idleTimeoutMs: number;
  /** Called when the server has accepted the watch, before the first event. */
  opened?(): void;
}

interface Selection {
  readonly namespace?: string;
  readonly fieldSelector?: string;
  readonly labelSelector?: string;
  readonly resourceVersion?: string;
}

/**
 * Without a resourceVersion, the list is the most recent one.
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
 */
export interface ListQuery extends Selection {
  readonly limit?: number;
  readonly continue?: string;
}

export interface WatchQuery extends Selection {
  readonly timeoutSeconds: number;
}

export interface KubernetesList {
  readonly resourceVersion: string;
  /** For the next page; undefined: this is the last. */
  readonly continue: string | undefined;
  readonly items: readonly KubernetesObject[];
}

/** Of a BOOKMARK's object, only the resourceVersion is useful. */
export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  readonly object: KubernetesObject;
}

/** An object to create; a review has no name. */
export interface NewObject {
  readonly metadata?: { readonly name?: string; readonly namespace?: string };
  readonly [field: string]: unknown;
}

const TIMEOUT_MS = 10_000;
/** Tens of thousands of objects: no API server sends more. */
const MAX_ANSWER_BYTES = 128 << 20;

/**
 * For the API server of the current context. Connects at the first request. `caller`: whose credentials `config` has, for error texts.
 * `sent` is called for each request, with the resource's full name.
 */
export function createKubernetesClient(
  config: KubeConfig,
  caller?: Caller,
  sent?: (verb: string, resource: string) => void,
): KubernetesClient {
  const transport = createTransport(config);
  const { server } = transport;
  const turns = createLimiter(MAX_CONCURRENT_REQUESTS);
  /** The timeouts of queued requests: each response to an earlier request restarts them. */
  const waiting = new Set<NodeJS.Timeout>();

  async function answer<T>(
    apiRequest: ApiRequest,
    request: TransportRequest,
    limits: Limits,
    read = readAll,
  ): Promise<T> {
    const { timeoutMs = TIMEOUT_MS, signal } = limits;
    signal?.throwIfAborted();
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), timeoutMs);
    const either = signal === undefined ? late.signal : AbortSignal.any([signal, late.signal]);
    let awaited = 'earlier requests';
    waiting.add(timer);
    try {
      return await turns.run(either, async () => {
        waiting.delete(timer);
        timer.refresh();
        awaited = describe(apiRequest);
        sent?.(apiRequest.verb, fullName(apiRequest.resource));
        const response = await transport.send(request, either);
        for (const other of waiting) other.refresh();
        const status = response.statusCode ?? 0;
        const isDone = status >= 200 && status <= 299;
        const body = parse(await (isDone ? read : readAll)(response));
        if (!isDone) throw fromAnswer(status, body, apiRequest, caller);
        if (!isRecord(body)) throw fromFailure('what it says is no JSON object', server);
        return body as T;
      });
    } catch (error) {
      throw translate(error, server, awaited, signal, late.signal.aborted ? timeoutMs : undefined);
    } finally {
      waiting.delete(timer);
      clearTimeout(timer);
    }
  }

  return {
    server,
    close: transport.close,

    get: (resource, key, limits = {}) =>
      answer({ verb: 'get', resource, key }, { method: 'GET', path: resourcePath(resource, key) }, limits),

    async list(resource, query = {}, { each, ...limits } = {}) {
      const path = `${resourcePath(resource, namespaceOf(query))}${toQuery({ ...query })}`;
      const key = namespaceOf(query);
      const items: KubernetesObject[] = [];
      const take = each ?? ((object) => void items.push(object));
      const read = (response: IncomingMessage) =>
        readList(bounded(response), (object) => take(object as KubernetesObject));
      const list = await answer<RawList>({ verb: 'list', resource, key }, { method: 'GET', path }, limits, read);
      if (!isRecord(list.metadata)) throw fromFailure('what it says is no list', server);
      return {
        resourceVersion: list.metadata.resourceVersion,
        continue: list.metadata.continue || undefined,
        items,
      };
    },

    async *watch(resource, query, { signal, idleTimeoutMs, opened }) {
      const apiRequest: ApiRequest = { verb: 'watch', resource, key: namespaceOf(query) };
      const path = `${resourcePath(resource, apiRequest.key)}${toQuery({ ...query, watch: true, allowWatchBookmarks: true })}`;
      const idle = new AbortController();
      const timer = setTimeout(() => idle.abort(), idleTimeoutMs);
      let response: IncomingMessage | undefined;
      try {
        sent?.(apiRequest.verb, fullName(resource));
        response = await transport.send({ method: 'GET', path, endless: true }, AbortSignal.any([signal, idle.signal]));
        const status = response.statusCode ?? 0;
        if (status !== 200) throw fromAnswer(status, parse(await readAll(response)), apiRequest, caller);
        opened?.();
        for await (const line of lines(response, () => timer.refresh())) {
          const event = parse(line);
          if (!isRecord(event)) throw fromFailure('what it says is no event', server);
          if (event.type === 'ERROR') throw fromWatchError(event.object, apiRequest, caller);
          if (!isRecord(event.object) || !isRecord(event.object.metadata)) {
            throw fromFailure('an event is of no object', server);
          }
          yield event as unknown as WatchEvent;
        }
      } catch (error) {
        throw translate(error, server, describe(apiRequest), signal, idle.signal.aborted ? idleTimeoutMs : undefined);
      } finally {
        clearTimeout(timer);
        response?.destroy();
      }
    },

    create(resource, object, limits = {}) {
      const { name, namespace } = object.metadata ?? {};
      const key = { ...namespaceOf({ namespace }), ...(name !== undefined && { name }) };
      const { group, version } = resource;
      const body = { apiVersion: group === '' ? version : `${group}/${version}`, ...object };
      const path = resourcePath(resource, namespaceOf({ namespace }));
      return answer({ verb: 'create', resource, key }, { method: 'POST', path, body }, limits);
    },

    patch: (resource, key, body, limits = {}) =>
      answer(
        { verb: 'patch', resource, key },
        { method: 'PATCH', path: resourcePath(resource, key), body, contentType: 'application/merge-patch+json' },
        limits,
      ),

    async delete(resource, { uid, ...key }, limits = {}) {
      const body = { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { uid } };
      await answer(
        { verb: 'delete', resource, key },
        { method: 'DELETE', path: resourcePath(resource, key), body },
        limits,
      );
    },
  };
}

interface RawList {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
}

function namespaceOf({ namespace }: { readonly namespace?: string | undefined }): { namespace?: string } {
  return namespace === undefined ? {} : { namespace };
}

function toQuery({
  namespace: _,
  ...query
}: ListQuery & { readonly watch?: true; readonly [name: string]: unknown }): string {
  const entries = Object.entries(query).filter(([, value]) => value !== undefined);
  return entries.length === 0 ? '' : `?${new URLSearchParams(entries.map(([name, value]) => [name, String(value)]))}`;
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of bounded(response)) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

async function* bounded(response: IncomingMessage): AsyncGenerator<Buffer> {
  let length = 0;
  for await (const chunk of response) {
    length += chunk.length;
    // Leaving the loop destroys the response.
    if (length > MAX_ANSWER_BYTES) throw new Error(`it answers with more than ${MAX_ANSWER_BYTES >> 20} MiB`);
    yield chunk;
  }
}

async function* lines(response: IncomingMessage, alive: () => void): AsyncGenerator<string> {
  let rest = '';
  response.setEncoding('utf8');
  for await (const chunk of response) {
    alive();
    const parts = (rest + chunk).split('\n');
    rest = parts.pop() ?? '';
    if (rest.length > MAX_ANSWER_BYTES) throw new Error(`an event has more than ${MAX_ANSWER_BYTES >> 20} MiB`);
    yield* parts;
  }
}

/** Returns text that is not JSON as it is: a proxy may answer with anything. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** `timedOutAfterMs`: undefined if it did not time out. */
function translate(
  error: unknown,
  server: string,
  awaited: string,
  signal: AbortSignal | undefined,
  timedOutAfterMs: number | undefined,
): unknown {
  if (signal?.aborted) return whileWaiting(signal.reason, `the API server at ${server} (${awaited})`);
  if (timedOutAfterMs !== undefined)
    return fromFailure(`nothing came of ${awaited} for ${timedOutAfterMs / 1000} s`, server, SILENCE);
  return error instanceof CallError ? error : fromFailure(error, server);
}
