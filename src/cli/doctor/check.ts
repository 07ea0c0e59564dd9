/** A check and its result. */
export interface Check {
  /** `fail`: no volume can be published. `warn`: something does not work, or not as one may expect. */
  readonly state: 'ok' | 'warn' | 'fail';
  readonly what: string;
  /** What was found and, unless it is ok, what to do. */
  readonly found: string;
}

/** Where to look. Sockets are absolute paths. */
export interface DoctorConfig {
  readonly endpoint: string;
  readonly pinnerEndpoint: string;
  readonly registrationSocket: string | undefined;
  readonly kubeletDir: string;
  readonly pinRoot: string;
}
