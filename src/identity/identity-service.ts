import type { Pinner } from '../pinner/pinner.ts';
import type { Handlers } from '../rpc/adapter.ts';
import type { IdentityService } from '../rpc/generated/csi.ts';
import { version } from '../version.ts';

/** A probe has to be answered in about a second, whatever the pinner does. */
const PINNER_TIMEOUT_MS = 1000;

/**
 * CSI's Identity service: https://github.com/container-storage-interface/spec/blob/v1.13.0/spec.md#identity-service-rpc
 * Probe says ready: false as long as the pinner does not answer.
 */
export function createIdentityService(driverName: string, pinner: Pinner): Handlers<IdentityService> {
  return {
    getPluginInfo: () => ({ name: driverName, vendorVersion: version, manifest: {} }),

    getPluginCapabilities: () => ({ capabilities: [] }),

    async probe(_, { signal, deadline }) {
      try {
        await pinner.getNode({ signal, deadline: Math.min(deadline, Date.now() + PINNER_TIMEOUT_MS) });
        return { ready: true };
      } catch {
        return { ready: false };
      }
    },
  };
}
