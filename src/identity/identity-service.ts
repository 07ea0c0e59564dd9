import { PROBE_TIMEOUT_MS, type Readiness } from '../process/readiness.ts';
import type { Handlers } from '../rpc/adapter.ts';
import { PluginCapability_Service_Type as Capability, type IdentityDefinition } from '../rpc/csi.ts';
import { version } from '../version.ts';

/** The same in node plugin and controller, because they describe the driver as a whole. */
const CAPABILITIES = [Capability.CONTROLLER_SERVICE, Capability.VOLUME_ACCESSIBILITY_CONSTRAINTS];

/**
 * CSI's Identity service: https://github.com/container-storage-interface/spec/blob/v1.13.0/spec.md#identity-service-rpc
 * Probe returns ready: false while `readiness` throws.
 */
export function createIdentityService(driverName: string, readiness: Readiness): Handlers<IdentityDefinition> {
  return {
    getPluginInfo: () => ({ name: driverName, vendorVersion: version, manifest: {} }),

    getPluginCapabilities: () => ({
      capabilities: CAPABILITIES.map((type) => ({ service: { type } })),
    }),

    async probe(_, { signal, deadline }) {
      try {
        await readiness({ signal, deadline: Math.min(deadline, Date.now() + PROBE_TIMEOUT_MS) });
        return { ready: { value: true } };
      } catch {
        return { ready: { value: false } };
      }
    },
  };
}
