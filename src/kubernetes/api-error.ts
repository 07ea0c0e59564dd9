import { CallError, Code } from '../errors.ts';
import { fullName, keyOf, type ObjectKey, type Resource } from './resource.ts';

/** A request to the API server, for error texts and for the rule that the driver's ClusterRole needs. */
export interface ApiRequest {
  readonly verb: 'get' | 'list' | 'watch' | 'create' | 'patch' | 'delete';
  readonly resource: Resource;
  /** Without a name: all objects, or one that has no name yet. */
  readonly key: Partial<ObjectKey>;
}

/**
 * An error of the API server: NOT_FOUND (this object), ALREADY_EXISTS, ABORTED (the object has changed), INTERNAL (it rejects what the
 * driver sent) or UNAVAILABLE (everything else: the state is unknown).
 */
export class ApiError extends CallError {
  /** The HTTP status; undefined: there was no response. */
  readonly status: number | undefined;
  /** Kubernetes's reason, in CamelCase, or SILENCE; '' if there is none. */
  readonly reason: string;

  constructor(code: Code, message: string, status: number | undefined, reason: string, cause?: unknown) {
    super(code, message, { cause });
    this.status = status;
    this.reason = reason;
  }
}

/** The reason of an error when nothing was received for too long. */
export const SILENCE = 'Silence';

/** Whose credentials are used, for error texts. */
export interface Caller {
  /** "the driver may not", and "the API server does not let the driver": before a verb. */
  readonly mayNot: string;
  readonly isNotLet: string;
  /** "the driver's own credentials" */
  readonly credentials: string;
  /** What has to change when RBAC denies: "its ClusterRole lacks", before the rule. */
  readonly lacking: string;
}

export const THE_DRIVER: Caller = {
  mayNot: 'the driver may not',
  isNotLet: 'the API server does not let the driver',
  credentials: "the driver's own credentials",
  lacking: 'its ClusterRole lacks',
};

/** For an unsuccessful response. `body`: a Status object, or anything else. */
export function fromAnswer(status: number, body: unknown, request: ApiRequest, caller = THE_DRIVER): ApiError {
  const { reason, message, name } = parseStatus(body);
  const what = nameOf(request);
  const error = (code: Code, text: string) => new ApiError(code, text, status, reason);
  switch (status) {
    case 400:
    case 422:
      return error(Code.INTERNAL, `the API server refuses ${what}: ${message}`);
    case 401:
      return error(Code.UNAVAILABLE, `the API server does not accept ${caller.credentials}: ${message}`);
    case 403:
      return error(Code.UNAVAILABLE, forbidden(request, message, caller));
    case 404:
      // The object is certainly absent only if the Status names it. Another name is that of a prerequisite, such as the namespace; no name
      // means that the whole kind is absent.
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

/** For a missing or incomplete response. */
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

/** For an ERROR event of a watch. */
export function fromWatchError(status: unknown, request: ApiRequest, caller = THE_DRIVER): ApiError {
  const code = isRecord(status) && typeof status.code === 'number' ? status.code : 500;
  return fromAnswer(code, status, request, caller);
}

/** Whether the object certainly does not exist. */
export function isAbsent(error: unknown): boolean {
  return error instanceof ApiError && error.code === Code.NOT_FOUND;
}

function notNow(request: ApiRequest, status: number, message: string): string {
  return `the API server cannot ${request.verb} ${nameOf(request)} now (${status}): ${message}`;
}

function absentKind({ resource }: ApiRequest): string {
  return `the API server has no ${fullName(resource)} of version ${resource.version}; is its CustomResourceDefinition installed?`;
}

/** A rule helps only against RBAC: admission answers 403 too, and so does a namespace that is being deleted. */
function forbidden(request: ApiRequest, message: string, { mayNot, isNotLet, lacking }: Caller): string {
  const { verb, resource, key } = request;
  if (!message.includes(`cannot ${verb} resource`)) {
    return `${isNotLet} ${verb} ${nameOf(request)}: ${message}`;
  }
  const ruled = resource.subresource === undefined ? resource.plural : `${resource.plural}/${resource.subresource}`;
  const rule = `{apiGroups: ["${resource.group}"], resources: ["${ruled}"], verbs: ["${verb}"]}`;
  const where = key.namespace === undefined ? '' : ` in namespace ${key.namespace}`;
  return `${mayNot} ${verb} ${fullName(resource)}${where}: ${lacking} ${rule} (${message})`;
}

/** For an error text: "create subjectaccessreviews.authorization.k8s.io". */
export function describe(request: ApiRequest): string {
  return `${request.verb} ${nameOf(request)}`;
}

/** The object: "bpfmaps.bpffs.dev flows". */
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
