import type { Logger } from '../logger.ts';

/** What a reflector calls as `failing`: one line for the beginning of an outage, and one for its end. */
export function logOutage(log: Pick<Logger, 'info' | 'warn'>, resource: string): (error: Error | undefined) => void {
  return (error) => {
    if (error === undefined) log.info({ resource }, 'the API server is heard again');
    else log.warn({ resource, error: error.message }, 'the API server is not heard');
  };
}
