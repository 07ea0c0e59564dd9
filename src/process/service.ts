import { createLogger, type Logger, type LogLevel } from '../logger.ts';
import type { HttpAddress } from './http-server.ts';

/** The configuration of a service. Socket paths are absolute. */
export interface ServiceConfig {
  readonly driverName: string;
  /** The socket of the CSI services. */
  readonly endpoint: string;
  /** Undefined: no HTTP server. */
  readonly http: HttpAddress | undefined;
  readonly drainTimeoutMs: number;
  readonly logLevel: LogLevel;
}

/** A running node plugin or controller. */
export interface Service {
  /** As bound; undefined: no HTTP server. */
  readonly httpAddress: string | undefined;
  /** Drains the calls in progress, closes everything and removes the sockets. */
  stop(): Promise<void>;
}

/** Runs a service until SIGTERM or SIGINT, and then ends the process. Throws what `start` throws. */
export async function runService<Config extends { readonly logLevel: LogLevel }>(
  config: Config,
  start: (config: Config, log: Logger) => Promise<Service>,
): Promise<void> {
  const log = createLogger(config.logLevel);
  // Before there is a socket, so that no signal ends the process and leaves its socket behind.
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
