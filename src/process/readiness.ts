/** Throws a CallError saying why the process cannot do its work at the moment; it answers within `limits`. */
export type Readiness = (limits: { readonly deadline: number; readonly signal?: AbortSignal }) => Promise<unknown>;

/** A probe has to be answered in about a second, whatever it asks. */
export const PROBE_TIMEOUT_MS = 1000;
