import { execa } from 'execa';
import { type Kernel, kernelChecks } from '../../inspection/kernel-checks.ts';
import type { CheckReport as Check } from '../../inspection/reports.ts';
import { createPinner } from '../../pinner/pinner.ts';
import type { GetNodeResponse } from '../../rpc/pinner.ts';

const ANSWER_TIMEOUT_MS = 2000;

/** What the pinner that serves `socket` says of this node; undefined: none answers this process. */
export async function askForNode(socket: string): Promise<GetNodeResponse | undefined> {
  const pinner = createPinner(socket);
  try {
    return await pinner.getNode({ deadline: Date.now() + ANSWER_TIMEOUT_MS });
  } catch {
    return undefined;
  } finally {
    pinner.close();
  }
}

/** Checks the kernel as a running pinner has probed it, else as the program at `binary` does, which needs root. */
export async function featureChecks(node: Kernel | undefined, binary: string): Promise<readonly Check[]> {
  const kernel = node ?? (await probe(binary));
  if (!(kernel instanceof Error)) return kernelChecks(kernel);
  return [{ state: 'fail', what: 'kernel', found: `could not be probed: ${kernel.message}; run this as root` }];
}

async function probe(binary: string): Promise<Kernel | Error> {
  const result = await execa(binary, ['probe'], { reject: false });
  if (result.exitCode !== 0) return new Error(result.stderr || result.shortMessage || 'no answer');
  return JSON.parse(result.stdout) as Kernel;
}
