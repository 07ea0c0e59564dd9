import type { Logger } from '../logger.ts';
import type { Handlers } from '../rpc/adapter.ts';
import type { RegistrationService } from '../rpc/generated/registration.ts';

/**
 * What the kubelet asks a plugin whose socket appears in its plugins_registry directory, and where it says whether it took it:
 * https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/#device-plugin-registration
 * `endpoint` is the CSI socket's path on the host.
 */
export function createRegistrationService(
  driverName: string,
  endpoint: string,
  log: Logger,
): Handlers<RegistrationService> {
  return {
    getInfo: () => ({ type: 'CSIPlugin', name: driverName, endpoint, supportedVersions: ['1.0.0'] }),

    notifyRegistrationStatus({ pluginRegistered, error }) {
      if (pluginRegistered) log.info({ driverName }, 'the kubelet registered the driver');
      else log.error({ driverName, error }, 'the kubelet did not register the driver');
      return {};
    },
  };
}
