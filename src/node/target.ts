import { CallError, Code, unavailable } from '../errors.ts';
import type { Pinner } from '../pinner/pinner.ts';
import type { Call } from '../rpc/adapter.ts';
import type { VolumeReference } from './volume-reference.ts';

/** The place of a volume during one call. */
export interface Target {
  /**
   * Whether the volume is there, in the kernel, so that its pod may be running: then it is too late to refuse. Asked once, and
   * only when somebody wants to know.
   */
  isRunning(): Promise<boolean>;
  /**
   * What to answer: kubelets have taken away the directory of a running pod after an error that is final, so that none is for a
   * volume that is there but ALREADY_EXISTS. UNAVAILABLE takes the place of the others, and of what cannot be told.
   * https://github.com/kubernetes/kubernetes/blob/v1.36.0/pkg/volume/csi/csi_client.go (isFinalError)
   */
  asAnswer(error: unknown): Promise<CallError>;
}

/** With these the pinner says that no volume is there, or none of this driver's, or that none can be. */
const NOT_THERE = [Code.NOT_FOUND, Code.FAILED_PRECONDITION, Code.INVALID_ARGUMENT];

/** After these the kubelet tries again, and nothing was decided; but ALREADY_EXISTS, which is about a request that is another. */
const PASSED_THROUGH = [
  Code.CANCELLED,
  Code.DEADLINE_EXCEEDED,
  Code.UNAVAILABLE,
  Code.RESOURCE_EXHAUSTED,
  Code.ABORTED,
  Code.ALREADY_EXISTS,
];

/** Nothing is asked yet. */
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
        // Then it may be there.
      }
      return unavailable(error.message, error);
    },
  };
}
