import { type DestinationStream, destination, type Logger, pino } from 'pino';
import { logged } from './text.ts';

export type { Logger };

/** Severities, most verbose first. */
export const logLevels = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof logLevels)[number];

/**
 * Logs JSON lines with the same keys as the pinner's: `timestamp` (ISO 8601), `level` (upper case), `message` and the fields, truncated
 * where too long. Lines are written synchronously, so that none is lost when the process ends.
 */
export function createLogger(
  level: LogLevel,
  stream: DestinationStream = destination({ dest: 1, sync: true }),
): Logger {
  return pino(
    {
      level,
      base: null,
      messageKey: 'message',
      timestamp: () => `,"timestamp":"${new Date().toISOString()}"`,
      formatters: {
        level: (label) => ({ level: label.toUpperCase() }),
        log: (fields) => logged(fields) as Record<string, unknown>,
      },
    },
    stream,
  );
}
