import { isDeepStrictEqual } from 'node:util';
import { CallError, Code, invalidArgument } from '../errors.ts';
import { parseVolumeCapability } from '../request/volume-capability.ts';
import type { ValidateVolumeCapabilitiesRequest, ValidateVolumeCapabilitiesResponse } from '../rpc/csi.ts';
import type { Volume } from '../volumes/volume.ts';
import { differingParameter } from './compatibility.ts';
import { reachOf } from './create-request.ts';
import { toCsiVolume } from './csi-volume.ts';
import { parseParameters } from './parameters.ts';

/** Confirms what the request says of a volume, or says what is wrong. */
export function validate(
  volume: Volume,
  { volumeContext, volumeCapabilities, parameters, mutableParameters }: ValidateVolumeCapabilitiesRequest,
): ValidateVolumeCapabilitiesResponse {
  try {
    const { content } = volume.spec;
    for (const capability of volumeCapabilities) parseVolumeCapability(capability, reachOf(content));
    if (hasKeys(volumeContext) && !isDeepStrictEqual(volumeContext, toCsiVolume(volume).volumeContext))
      throw invalidArgument('volume_context', "differs from the volume's own, which CreateVolume returned");
    if (hasKeys(parameters)) {
      const parameter = differingParameter(volume.spec, parseParameters(parameters));
      if (parameter !== undefined) throw invalidArgument(parameter.name, `the volume has ${parameter.how}`);
    }
    if (hasKeys(mutableParameters))
      throw invalidArgument(
        'volumeAttributesClassName',
        'a volume has no attributes that can be changed; leave it out',
      );
  } catch (error) {
    if (!(error instanceof CallError) || error.code !== Code.INVALID_ARGUMENT) throw error;
    return { confirmed: null, message: error.message };
  }
  return { confirmed: { volumeContext, volumeCapabilities, parameters, mutableParameters }, message: '' };
}

function hasKeys(object: object): boolean {
  return Object.keys(object).length > 0;
}
