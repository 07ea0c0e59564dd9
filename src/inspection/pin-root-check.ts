import type { PinRoot } from '../rpc/pinner.ts';
import type { CheckReport } from './reports.ts';

/** A directory beneath which maps may be pinned, as the pinner sees it. */
export function pinRootCheck({ path, bpfFilesystem, problem }: PinRoot): CheckReport {
  const what = `pins at ${path}`;
  return bpfFilesystem ? { state: 'ok', what, found: 'is a bpf filesystem' } : { state: 'warn', what, found: problem };
}
