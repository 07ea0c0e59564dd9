import type { CheckReport } from './reports.ts';

/** What the pinner reports of the kernel: the same in GetNodeResponse and in the output of `bpffs-pinner probe`. */
export interface Kernel {
  readonly kernelRelease: string;
  readonly features: readonly {
    readonly name: string;
    readonly available: boolean;
    readonly required: boolean;
    readonly description: string;
  }[];
}

/** One check for the kernel's release and one for each feature. */
export function kernelChecks({ kernelRelease, features }: Kernel): readonly CheckReport[] {
  return [
    { state: 'ok', what: 'kernel', found: `Linux ${kernelRelease}` },
    ...features.map(({ name, available, required, description }): CheckReport => {
      const missing = required ? 'fail' : 'warn';
      return { state: available ? 'ok' : missing, what: `kernel: ${name}`, found: description };
    }),
  ];
}
