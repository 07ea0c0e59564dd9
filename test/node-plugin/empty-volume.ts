import { type DescribeVolumeResponse, VolumeKind } from '../../src/rpc/pinner.ts';

/** What the pinner says of a volume of maps that has none. */
export const EMPTY_VOLUME: DescribeVolumeResponse = {
  workspace: false,
  files: [],
  generations: 1,
  leftOut: 0,
  kind: VolumeKind.MAPS,
  delegation: null,
  delegated: false,
};
