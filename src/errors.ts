import { status as Code } from '@grpc/grpc-js';
import { statusText } from './text.ts';

export { Code };

/**
 * The only error that leaves the driver: a gRPC code, and a text for the person who has to act on it, usually read in the pod's events.
 * Invisible characters in it are escaped, and it is truncated to fit a gRPC status.
 */
export class CallError extends Error {
  override readonly name = 'CallError';
  readonly code: Code;

  constructor(code: Code, message: string, options?: ErrorOptions) {
    super(statusText(message), options);
    this.code = code;
  }

  /** Converts whatever was thrown: gRPC's own errors keep code and text, anything else becomes an UnforeseenError. */
  static from(error: unknown): CallError {
    if (error instanceof CallError) return error;
    if (isStatus(error)) return new CallError(error.code, error.details, { cause: error });
    return new UnforeseenError(error);
  }
}

/** INTERNAL: a bug in the driver, such as a TypeError. `cause` is what was thrown. */
export class UnforeseenError extends CallError {
  constructor(cause: unknown) {
    super(Code.INTERNAL, `unexpected: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

/** The UnforeseenError that `error` is, or was caused by. */
export function faultIn(error: CallError): UnforeseenError | undefined {
  return [error, error.cause].find((one) => one instanceof UnforeseenError);
}

/** `field` is named as its author wrote it in YAML: "volumeAttributes.maps", "readOnly", "mountOptions". */
export function invalidArgument(field: string, problem: string): CallError {
  return new CallError(Code.INVALID_ARGUMENT, `${field}: ${problem}`);
}

/** Something named in the request does not exist. */
export function notFound(message: string): CallError {
  return new CallError(Code.NOT_FOUND, message);
}

/** The caller's identity is unknown, or differs from what it claims. */
export function unauthenticated(message: string): CallError {
  return new CallError(Code.UNAUTHENTICATED, message);
}

/** The caller's identity is known, and it may not do this. */
export function permissionDenied(message: string): CallError {
  return new CallError(Code.PERMISSION_DENIED, message);
}

/** A person has to change something first. */
export function failedPrecondition(message: string): CallError {
  return new CallError(Code.FAILED_PRECONDITION, message);
}

/** Something of this name exists and differs from what is requested. */
export function alreadyExists(message: string): CallError {
  return new CallError(Code.ALREADY_EXISTS, message);
}

/** A volume of the requested size cannot be made. */
export function outOfRange(field: string, problem: string): CallError {
  return new CallError(Code.OUT_OF_RANGE, `${field}: ${problem}`);
}

/** Another operation on the volume is in progress; the kubelet tries again. */
export function aborted(message: string): CallError {
  return new CallError(Code.ABORTED, message);
}

/** A limit of the driver is reached; the kubelet tries again. */
export function resourceExhausted(message: string): CallError {
  return new CallError(Code.RESOURCE_EXHAUSTED, message);
}

/** Something does not exist yet, or does not answer; the kubelet tries again. */
export function unavailable(message: string, cause?: unknown): CallError {
  return new CallError(Code.UNAVAILABLE, message, { cause });
}

/** Adds to an abort reason what the call was waiting for. */
export function whileWaiting(reason: unknown, awaited: string): unknown {
  if (!(reason instanceof CallError)) return reason;
  return new CallError(reason.code, `${reason.message} while waiting for ${awaited}`, { cause: reason });
}

/** Something exists that the driver cannot have made, and only a person can repair it. */
export function internal(message: string, cause?: unknown): CallError {
  return new CallError(Code.INTERNAL, message, { cause });
}

/** The process cannot start. Each problem is one line for the person who started it. */
export class BadConfiguration extends Error {
  override readonly name = 'BadConfiguration';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.map(statusText).join('\n'));
    this.problems = problems.map(statusText);
  }
}

function isStatus(error: unknown): error is { readonly code: Code; readonly details: string } {
  return (
    error instanceof Error &&
    'code' in error &&
    typeof error.code === 'number' &&
    'details' in error &&
    typeof error.details === 'string'
  );
}
