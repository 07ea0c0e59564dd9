import type { Caller } from '../kubernetes/api-error.ts';

/** The user of kubectl, for error texts. */
export const YOU: Caller = {
  mayNot: 'you may not',
  isNotLet: 'the API server does not let you',
  credentials: 'your credentials',
  lacking: "the chart's roles csi-driver-bpffs-inspector have the missing rule",
};
