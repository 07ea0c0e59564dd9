import { CallError, Code, unavailable } from '../errors.ts';
import type { Pinner } from '../pinner/pinner.ts';
import type { Call } from '../rpc/adapter.ts';
import type { VolumeReference } from './volume-reference.ts';

/** A volume's target path during one call. */
export interface Target {
  /** Whether the volume exists in the kernel, so that its pod may be running and an error comes too late. Looked up once, on first use. */
  isRunning(): Promise<boolean>;
  /**
   * The error to return. Kubelets have removed the directory of a running pod after a final error, so a volume that exists, or may exist,
   * gets no final error except ALREADY_EXISTS: the others become UNAVAILABLE.
   * https://github.com/kubernetes/kubernetes/blob/v1.36.0/pkg/volume/csi/csi_client.go (isFinalError)
   */
  asAnswer(error: unknown): Promise<CallError>;
}

/** With these codes the pinner says that the target has no volume of this driver, or cannot have one. */
const NOT_THERE = [Code.NOT_FOUND, Code.FAILED_PRECONDITION, Code.INVALID_ARGUMENT];

/** After these codes the kubelet tries again; and ALREADY_EXISTS, which says that the request differs from an earlier one. */
const PASSED_THROUGH = [
  Code.CANCELLED,
  Code.DEADLINE_EXCEEDED,
  Code.UNAVAILABLE,
  Code.RESOURCE_EXHAUSTED,
  Code.ABORTED,
  Code.ALREADY_EXISTS,
];

/** Makes no call yet. */
export function observeTarget({ volumeId, targetPath }: VolumeReference, pinner: Pinner, call: Call): Target {
  let observed: Promise<boolean> | undefined;

  async function observe(): Promise<boolean> {
    try {
      await pinner.describeVolume({ volumeId, targetPath }, call);
      return true;
    } catch (error) {
      if (NOT_THERE.includes(CallError.from(error).code)) return false;
      throw error;
    }
  }

  const isRunning = () => {
    observed ??= observe();
    return observed;
  };
  return {
    isRunning,
    async asAnswer(thrown) {
      const error = CallError.from(thrown);
      if (PASSED_THROUGH.includes(error.code)) return error;
      try {
        if (!(await isRunning())) return error;
      } catch {
        // The volume may exist.
      }
      return unavailable(error.message, error);
    },
  };
}
