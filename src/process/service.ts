import { createLogger, type Logger, type LogLevel } from '../logger.ts';
import type { HttpAddress } from './http.ts';

/** How a service was told to run. Socket paths are absolute file paths. */
export interface ServiceConfig {
  readonly driverName: string;
  /** Where the CSI services are served. */
  readonly endpoint: string;
  /** Undefined: no HTTP server. */
  readonly http: HttpAddress | undefined;
  readonly drainTimeoutMs: number;
  readonly logLevel: LogLevel;
}

/** A node plugin or a controller that serves. */
export interface Service {
  /** As bound; undefined: no HTTP is served. */
  readonly httpAddress: string | undefined;
  /** Drains the calls in work, closes everything and removes the sockets. */
  stop(): Promise<void>;
}

/** Starts a service and ends the process with it, at SIGTERM or SIGINT. Throws what `start` throws. */
export async function runService<Config extends { readonly logLevel: LogLevel }>(
  config: Config,
  start: (config: Config, log: Logger) => Promise<Service>,
): Promise<void> {
  const log = createLogger(config.logLevel);
  // Before there is a socket: a signal must not end the process with its socket left behind.
  const signalled = new Promise<NodeJS.Signals>((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
  const service = await start(config, log);
  log.info({ signal: await signalled }, 'stopping');
  await service.stop();
  log.info('stopped');
  process.exit(0);
}
