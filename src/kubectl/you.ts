import type { Caller } from '../kubernetes/api-error.ts';

/** The user of kubectl, for error texts. */
export const YOU: Caller = {
  name: 'you',
  credentials: 'your credentials',
  lacking: "the chart's roles csi-driver-bpffs-inspector have the missing rule",
};
