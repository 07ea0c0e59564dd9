// The service and messages of registration.proto, under their names there.
import type { RegistrationDefinition } from './generated/pluginregistration/Registration.ts';
import registration from './generated/registration.json' with { type: 'json' };
import { describeService } from './service.ts';

export type { RegistrationStatus } from './generated/pluginregistration/RegistrationStatus.ts';
export type { RegistrationDefinition };

/** Called by the kubelet when it finds a plugin's socket. */
export const RegistrationService = describeService<RegistrationDefinition>(
  registration,
  'pluginregistration.Registration',
);
