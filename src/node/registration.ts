import { unavailable } from '../errors.ts';
import type { Logger } from '../logger.ts';
import { adapt, type Handlers } from '../rpc/adapter.ts';
import { type RegistrationDefinition, RegistrationService } from '../rpc/registration.ts';
import { listen, type RpcServer } from '../rpc/server.ts';
import type { NodeMetrics } from './metrics.ts';

/** Serves the kubelet's plugin registration. */
export interface Registration extends Omit<RpcServer, 'renew'> {
  /** Throws UNAVAILABLE, saying why, while the kubelet has not registered the driver. */
  requireRegistered(): void;
}

/** What registration depends on. */
export interface RegistrationParts {
  readonly driverName: string;
  /** The CSI socket's path on the host. */
  readonly endpoint: string;
  /** Where registration is served: in the kubelet's plugins_registry directory. */
  readonly socket: string;
  readonly log: Logger;
  readonly metrics: NodeMetrics;
}

/** The delay before the socket is made again; it doubles. */
const MIN_BACKOFF_MS = 1000;
const MAX_BACKOFF_MS = 60_000;

/**
 * Serves the registration that the kubelet asks for when a socket appears in its plugins_registry directory:
 * https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/#device-plugin-registration
 * While registration fails, the socket is made again and again: not every kubelet tries a socket twice
 * (https://github.com/kubernetes/kubernetes/issues/133725).
 */
export async function startRegistration(parts: RegistrationParts): Promise<Registration> {
  const { driverName, endpoint, socket, log, metrics } = parts;
  let problem: string | undefined = 'the kubelet has not registered the driver yet';
  let backoffMs = MIN_BACKOFF_MS;
  let retry: NodeJS.Timeout | undefined;

  const become = (now: string | undefined) => {
    problem = now;
    metrics.registrationSeen(now === undefined);
    clearTimeout(retry);
  };
  const again = () => {
    retry = setTimeout(() => server.renew().catch(() => undefined), backoffMs).unref();
    backoffMs = Math.min(2 * backoffMs, MAX_BACKOFF_MS);
  };
  const handlers: Handlers<RegistrationDefinition> = {
    getInfo: () => ({ type: 'CSIPlugin', name: driverName, endpoint, supportedVersions: ['1.0.0'] }),

    notifyRegistrationStatus({ pluginRegistered, error }) {
      if (pluginRegistered) {
        become(undefined);
        backoffMs = MIN_BACKOFF_MS;
        log.info({ driverName }, 'the kubelet registered the driver');
      } else {
        become(`the kubelet did not register the driver: ${error}`);
        log.error({ driverName, error, againInMs: backoffMs }, 'the kubelet did not register the driver');
        again();
      }
      return {};
    },
  };
  become(problem);
  const server = await listen(socket, [adapt(RegistrationService, handlers, log, metrics)], {
    log,
    // The kubelet deregisters a driver when its socket is removed, and registers it again when a new one appears.
    lost: () => become('the registration socket was removed'),
  });
  return {
    ...server,
    requireRegistered() {
      if (problem !== undefined) throw unavailable(problem);
    },
    async stop(timeoutMs) {
      clearTimeout(retry);
      await server.stop(timeoutMs);
    },
  };
}
