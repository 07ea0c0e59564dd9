import type { IncomingMessage } from 'node:http';
import { CallError } from '../errors.ts';
import { type ApiRequest, fromAnswer, fromFailure, fromWatchError, SILENCE } from './api-error.ts';
import type { Connection } from './connection.ts';
import { createHttps, type HttpsRequest } from './https.ts';
import { type KubernetesObject, type ObjectKey, type Resource, resourcePath } from './resource.ts';

/**
 * The part of the Kubernetes API that the driver needs. Everything throws an ApiError for what the API server answers and when
 * it does not answer within the timeout; an aborted signal throws its reason.
 */
export interface KubernetesClient {
  get(resource: Resource, key: ObjectKey, limits?: Limits): Promise<KubernetesObject>;
  list(resource: Resource, query?: ListQuery, limits?: Limits): Promise<KubernetesList>;
  /** Ends when the server ends it, which it does every some minutes. Throws for an ERROR event as for an answer. */
  watch(resource: Resource, query: WatchQuery, limits: WatchLimits): AsyncIterable<WatchEvent>;
  /** Reviews are objects too: the answer holds what was found. */
  create(resource: Resource, object: NewObject, limits?: Limits): Promise<KubernetesObject>;
  /** `patch`: https://www.rfc-editor.org/rfc/rfc7386 (JSON Merge Patch). */
  patch(resource: Resource, key: ObjectKey, patch: object, limits?: Limits): Promise<KubernetesObject>;
  /** ABORTED if there is another object of that name by now. */
  delete(resource: Resource, key: ObjectKey & { readonly uid: string }, limits?: Limits): Promise<void>;
  /** "host:port", for texts. */
  readonly server: string;
  close(): void;
}

export interface Limits {
  /** Default: 10 s. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface WatchLimits {
  readonly signal: AbortSignal;
  /** Longer than this without a sign of life, and the watch throws. */
  readonly idleTimeoutMs: number;
  /** Called when the server has agreed, before the first event. */
  opened?(): void;
}

interface Selection {
  readonly namespace?: string;
  readonly fieldSelector?: string;
  readonly labelSelector?: string;
  readonly resourceVersion?: string;
}

/** Without a resourceVersion, a list is the newest there is. https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions */
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

/** A BOOKMARK's object has a resourceVersion and nothing else of use. */
export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  readonly object: KubernetesObject;
}

/** What is created; a review has no name. */
export interface NewObject {
  readonly metadata?: { readonly name?: string; readonly namespace?: string };
  readonly [field: string]: unknown;
}

const TIMEOUT_MS = 10_000;

/** Nothing is dialled before the first request. */
export function createKubernetesClient(connection: Connection): KubernetesClient {
  const https = createHttps(connection);
  const server = `${connection.host}:${connection.port}`;

  async function answer<T>(asked: ApiRequest, request: HttpsRequest, limits: Limits): Promise<T> {
    const { timeoutMs = TIMEOUT_MS, signal } = limits;
    signal?.throwIfAborted();
    const timeout = AbortSignal.timeout(timeoutMs);
    try {
      const response = await https.send(request, signal === undefined ? timeout : AbortSignal.any([signal, timeout]));
      const body = parse(await readAll(response));
      const status = response.statusCode ?? 0;
      if (status < 200 || status > 299) throw fromAnswer(status, body, asked);
      if (typeof body !== 'object') throw fromFailure('what it says is no JSON', server);
      return body as T;
    } catch (error) {
      throw translate(error, server, signal, timeout.aborted ? timeoutMs : undefined);
    }
  }

  return {
    server,
    close: https.close,

    get: (resource, key, limits = {}) =>
      answer({ verb: 'get', resource, key }, { method: 'GET', path: resourcePath(resource, key) }, limits),

    async list(resource, query = {}, limits = {}) {
      const path = `${resourcePath(resource, namespaceOf(query))}${toQuery({ ...query })}`;
      const key = namespaceOf(query);
      const list = await answer<RawList>({ verb: 'list', resource, key }, { method: 'GET', path }, limits);
      return {
        resourceVersion: list.metadata.resourceVersion,
        continue: list.metadata.continue || undefined,
        items: list.items ?? [],
      };
    },

    async *watch(resource, query, { signal, idleTimeoutMs, opened }) {
      const asked: ApiRequest = { verb: 'watch', resource, key: namespaceOf(query) };
      const path = `${resourcePath(resource, asked.key)}${toQuery({ ...query, watch: true, allowWatchBookmarks: true })}`;
      const idle = new AbortController();
      const timer = setTimeout(() => idle.abort(), idleTimeoutMs);
      let response: IncomingMessage | undefined;
      try {
        response = await https.send({ method: 'GET', path, endless: true }, AbortSignal.any([signal, idle.signal]));
        const status = response.statusCode ?? 0;
        if (status !== 200) throw fromAnswer(status, parse(await readAll(response)), asked);
        opened?.();
        for await (const line of lines(response, () => timer.refresh())) {
          const event = parse(line) as { type: WatchEvent['type'] | 'ERROR'; object: KubernetesObject };
          if (event.type === 'ERROR') throw fromWatchError(event.object, asked);
          yield event as WatchEvent;
        }
      } catch (error) {
        throw translate(error, server, signal, idle.signal.aborted ? idleTimeoutMs : undefined);
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
  readonly items: readonly KubernetesObject[] | null;
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
  for await (const chunk of response) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

async function* lines(response: IncomingMessage, alive: () => void): AsyncGenerator<string> {
  let rest = '';
  response.setEncoding('utf8');
  for await (const chunk of response) {
    alive();
    const parts = (rest + chunk).split('\n');
    rest = parts.pop() ?? '';
    yield* parts;
  }
}

/** What is no JSON is text: a proxy in between may say anything. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** `timedOutAfterMs`: undefined if it has not. */
function translate(
  error: unknown,
  server: string,
  signal: AbortSignal | undefined,
  timedOutAfterMs: number | undefined,
): unknown {
  if (signal?.aborted) return signal.reason;
  if (timedOutAfterMs !== undefined)
    return fromFailure(`nothing came for ${timedOutAfterMs / 1000} s`, server, SILENCE);
  return error instanceof CallError ? error : fromFailure(error, server);
}
