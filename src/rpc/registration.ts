// The service of registration.proto and its messages, under the names that they have there.
import type { RegistrationDefinition } from './generated/pluginregistration/Registration.ts';
import registration from './generated/registration.json' with { type: 'json' };
import { describeService } from './service.ts';

export type { RegistrationStatus } from './generated/pluginregistration/RegistrationStatus.ts';
export type { RegistrationDefinition };

/** What a kubelet asks of a plugin that it has found. */
export const RegistrationService = describeService<RegistrationDefinition>(
  registration,
  'pluginregistration.Registration',
);
