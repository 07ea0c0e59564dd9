import { CallError, Code } from '../errors.ts';
import { fullName, keyOf, type ObjectKey, type Resource } from './resource.ts';

/** What was asked of the API server, for an error text and for what the driver's ClusterRole has to allow. */
export interface ApiRequest {
  readonly verb: 'get' | 'list' | 'watch' | 'create' | 'patch' | 'delete';
  readonly resource: Resource;
  /** Without a name: all objects, or one that is yet to be named. */
  readonly key: Partial<ObjectKey>;
}

/**
 * What the API server answered in place of what was asked for: NOT_FOUND (this object), ALREADY_EXISTS, ABORTED (it is another
 * by now), INTERNAL (it refuses what the driver sent) or UNAVAILABLE, which is all else: nothing is known then.
 */
export class ApiError extends CallError {
  /** HTTP's; undefined: no answer came. */
  readonly status: number | undefined;
  /** Kubernetes's, in CamelCase, or SILENCE; '' where there is none. */
  readonly reason: string;

  constructor(code: Code, message: string, status: number | undefined, reason: string, cause?: unknown) {
    super(code, message, { cause });
    this.status = status;
    this.reason = reason;
  }
}

/** The reason of an error when nothing came for too long. */
export const SILENCE = 'Silence';

/** An answer that is no success. `body`: a Status object, or whatever came. */
export function fromAnswer(status: number, body: unknown, request: ApiRequest): ApiError {
  const { reason, message, name } = parseStatus(body);
  const what = nameOf(request);
  const error = (code: Code, text: string) => new ApiError(code, text, status, reason);
  switch (status) {
    case 400:
    case 422:
      return error(Code.INTERNAL, `the API server refuses ${what}: ${message}`);
    case 401:
      return error(Code.UNAVAILABLE, `the API server does not accept the driver's own credentials: ${message}`);
    case 403:
      return error(Code.UNAVAILABLE, forbidden(request, message));
    case 404:
      // Only a Status that names the object says that it is absent. Another name is that of what has to be there first, such as
      // the namespace; none means the whole kind.
      if (name === undefined) return error(Code.UNAVAILABLE, absentKind(request));
      if (name === request.key.name) return error(Code.NOT_FOUND, `there is no ${what}`);
      return error(Code.UNAVAILABLE, notNow(request, status, message));
    case 409:
      return reason === 'AlreadyExists'
        ? error(Code.ALREADY_EXISTS, `there is already ${what}`)
        : error(Code.ABORTED, `${what}: ${message}`);
    default:
      return error(Code.UNAVAILABLE, notNow(request, status, message));
  }
}

/** No answer, or one that broke off. */
export function fromFailure(cause: unknown, server: string, reason = ''): ApiError {
  const text = cause instanceof Error ? cause.message || String((cause as NodeJS.ErrnoException).code) : String(cause);
  return new ApiError(
    Code.UNAVAILABLE,
    `the API server at ${server} does not answer: ${text}`,
    undefined,
    reason,
    cause,
  );
}

/** What a watch says in place of an event. */
export function fromWatchError(status: unknown, request: ApiRequest): ApiError {
  const code = isRecord(status) && typeof status.code === 'number' ? status.code : 500;
  return fromAnswer(code, status, request);
}

/** Whether the object is not there, for certain. */
export function isAbsent(error: unknown): boolean {
  return error instanceof ApiError && error.code === Code.NOT_FOUND;
}

function notNow(request: ApiRequest, status: number, message: string): string {
  return `the API server cannot ${request.verb} ${nameOf(request)} now (${status}): ${message}`;
}

function absentKind({ resource }: ApiRequest): string {
  return `the API server has no ${fullName(resource)} of version ${resource.version}; is its CustomResourceDefinition installed?`;
}

/** A rule mends only what authorization refuses: admission says 403 too, and so does a namespace that is being deleted. */
function forbidden(request: ApiRequest, message: string): string {
  const { verb, resource, key } = request;
  if (!message.includes(`cannot ${verb} resource`)) {
    return `the API server does not let the driver ${verb} ${nameOf(request)}: ${message}`;
  }
  const ruled = resource.subresource === undefined ? resource.plural : `${resource.plural}/${resource.subresource}`;
  const rule = `{apiGroups: ["${resource.group}"], resources: ["${ruled}"], verbs: ["${verb}"]}`;
  const where = key.namespace === undefined ? '' : ` in namespace ${key.namespace}`;
  return `the driver may not ${verb} ${fullName(resource)}${where}: its ClusterRole lacks ${rule} (${message})`;
}

/** For a text: "create subjectaccessreviews.authorization.k8s.io". */
export function describe(request: ApiRequest): string {
  return `${request.verb} ${nameOf(request)}`;
}

/** What it is about: "bpfmaps.bpffs.dev flows". */
function nameOf({ resource, key }: ApiRequest): string {
  return key.name === undefined ? fullName(resource) : `${fullName(resource)} ${keyOf({ ...key, name: key.name })}`;
}

/** https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/ */
function parseStatus(body: unknown): { reason: string; message: string; name: string | undefined } {
  if (typeof body === 'string') return { reason: '', message: body.trim().slice(0, 200), name: undefined };
  if (!isRecord(body)) return { reason: '', message: 'no reason given', name: undefined };
  const { reason, message, details } = body;
  const name = isRecord(details) && typeof details.name === 'string' ? details.name : undefined;
  return {
    reason: typeof reason === 'string' ? reason : '',
    message: typeof message === 'string' ? message.slice(0, 500) : 'no reason given',
    name,
  };
}

/** Whether it is what JSON calls an object. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
