import { status as Code } from '@grpc/grpc-js';
import { statusText } from './text.ts';

export { Code };

/**
 * The only error that leaves the driver: a gRPC code, and a text for the person who has to act on it, who reads it in the
 * pod's events. Whatever the text quotes, it can be seen and is not too long for a status.
 */
export class CallError extends Error {
  override readonly name = 'CallError';
  readonly code: Code;

  constructor(code: Code, message: string, options?: ErrorOptions) {
    super(statusText(message), options);
    this.code = code;
  }

  /** Whatever was thrown, as a CallError: gRPC's own errors keep code and text, anything else is an UnforeseenError. */
  static from(error: unknown): CallError {
    if (error instanceof CallError) return error;
    if (isStatus(error)) return new CallError(error.code, error.details, { cause: error });
    return new UnforeseenError(error);
  }
}

/** INTERNAL: something was thrown that is no answer to anybody, as a TypeError: a fault of the driver. `cause`: what was thrown. */
export class UnforeseenError extends CallError {
  constructor(cause: unknown) {
    super(Code.INTERNAL, `unexpected: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

/** The fault of the driver that became this error, or that this error stands for; undefined: there is none. */
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

/** Nobody knows who asks, or it is somebody else. */
export function unauthenticated(message: string): CallError {
  return new CallError(Code.UNAUTHENTICATED, message);
}

/** The caller's identity is known and may not do this. */
export function permissionDenied(message: string): CallError {
  return new CallError(Code.PERMISSION_DENIED, message);
}

/** Something has to be changed first, by a person. */
export function failedPrecondition(message: string): CallError {
  return new CallError(Code.FAILED_PRECONDITION, message);
}

/** Something of this name is there, and it is not what is asked for. */
export function alreadyExists(message: string): CallError {
  return new CallError(Code.ALREADY_EXISTS, message);
}

/** No volume of the size that is asked for can be made. */
export function outOfRange(field: string, problem: string): CallError {
  return new CallError(Code.OUT_OF_RANGE, `${field}: ${problem}`);
}

/** The volume is being worked on; the kubelet tries again. */
export function aborted(message: string): CallError {
  return new CallError(Code.ABORTED, message);
}

/** A bound of ours is reached; the kubelet tries again. */
export function resourceExhausted(message: string): CallError {
  return new CallError(Code.RESOURCE_EXHAUSTED, message);
}

/** Something that should be there is not there yet; the kubelet tries again. */
export function unavailable(message: string, cause?: unknown): CallError {
  return new CallError(Code.UNAVAILABLE, message, { cause });
}

/** Why a call was given up, with what it waited for then. */
export function whileWaiting(reason: unknown, awaited: string): unknown {
  if (!(reason instanceof CallError)) return reason;
  return new CallError(reason.code, `${reason.message} while waiting for ${awaited}`, { cause: reason });
}

/** Something is there that the driver cannot have made, and that only a person can mend. */
export function internal(message: string, cause?: unknown): CallError {
  return new CallError(Code.INTERNAL, message, { cause });
}

/** The process cannot start like this. Each problem is one line for the person who started it. */
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
