import { type DestinationStream, destination, type Logger, pino } from 'pino';
import { logged } from './text.ts';

export type { Logger };

/** Severities, most talkative first. */
export const logLevels = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof logLevels)[number];

/**
 * JSON lines with the keys that the pinner's log has too: `timestamp` (ISO 8601), `level` (upper case), `message`, and what
 * the line is about, cut where it is too long. Each line is written before the call that logs it returns, so none is lost when the process ends.
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
