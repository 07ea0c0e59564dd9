/** Where to look. Sockets are absolute paths. */
export interface DoctorConfig {
  readonly endpoint: string;
  readonly pinnerEndpoint: string;
  readonly registrationSocket: string | undefined;
  readonly kubeletDir: string;
  /** Checked if no pinner answers this process; otherwise the pinner's own are. */
  readonly pinRoots: readonly string[];
}
