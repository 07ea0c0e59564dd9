/** Where to look. Sockets are absolute paths. */
export interface DoctorConfig {
  readonly endpoint: string;
  readonly pinnerEndpoint: string;
  readonly registrationSocket: string | undefined;
  readonly kubeletDir: string;
  /** Looked at if no pinner answers, which knows them all. */
  readonly pinRoot: string;
}
