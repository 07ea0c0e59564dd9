import { execa } from 'execa';
import { createPinner } from '../../pinner/pinner.ts';
import type { Check } from './check.ts';

/** What the pinner reports of the kernel: the same in GetNodeResponse and in the output of `bpffs-pinner probe`. */
interface Kernel {
  readonly kernelRelease: string;
  readonly features: readonly {
    readonly name: string;
    readonly available: boolean;
    readonly required: boolean;
    readonly description: string;
  }[];
}

const ANSWER_TIMEOUT_MS = 2000;

/**
 * One check for the kernel's release and one for each feature, as probed by the pinner that serves `socket`, else by the program at
 * `binary`, which needs root.
 */
export async function featureChecks(socket: string, binary: string): Promise<readonly Check[]> {
  const kernel = await ask(socket).catch(() => probe(binary));
  if (kernel instanceof Error) {
    return [{ state: 'fail', what: 'kernel', found: `could not be probed: ${kernel.message}; run this as root` }];
  }
  const features = kernel.features.map(({ name, available, required, description }): Check => {
    const missing = required ? 'fail' : 'warn';
    return { state: available ? 'ok' : missing, what: `kernel: ${name}`, found: description };
  });
  return [{ state: 'ok', what: 'kernel', found: `Linux ${kernel.kernelRelease}` }, ...features];
}

async function ask(socket: string): Promise<Kernel> {
  const pinner = createPinner(socket);
  try {
    return await pinner.getNode({ deadline: Date.now() + ANSWER_TIMEOUT_MS });
  } finally {
    pinner.close();
  }
}

async function probe(binary: string): Promise<Kernel | Error> {
  const result = await execa(binary, ['probe'], { reject: false });
  if (result.exitCode !== 0) return new Error(result.stderr || result.shortMessage || 'no answer');
  return JSON.parse(result.stdout) as Kernel;
}
