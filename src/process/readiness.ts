/** Throws a CallError, saying why, while the process cannot do its work; returns within `limits`. */
export type Readiness = (limits: { readonly deadline: number; readonly signal?: AbortSignal }) => Promise<unknown>;

/** A probe must be answered in about a second. */
export const PROBE_TIMEOUT_MS = 1000;
