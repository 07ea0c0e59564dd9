import { dirname } from 'node:path';
import type { Plugin } from 'esbuild';

/**
 * Bundles proto-loader without the descriptors that it makes of all messages, for servers that tell their callers about them. The driver is
 * no such server, and these descriptors took a sixth of its start. Only a message's name stays, which src/rpc/codecs.ts uses.
 */
export const protoLoader: Plugin = {
  name: 'proto-loader',
  setup(outer) {
    outer.onLoad({ filter: /\/protobufjs\/ext\/descriptor\/index\.js$/ }, ({ path }) => ({
      contents: WITHOUT_DESCRIPTORS,
      resolveDir: dirname(path),
    }));
  },
};

/** What proto-loader calls of protobufjs/ext/descriptor. */
const WITHOUT_DESCRIPTORS = `
  const { Enum, Root, Type } = require('protobufjs');
  Root.prototype.toDescriptor = () => ({ file: [] });
  Enum.prototype.toDescriptor = Type.prototype.toDescriptor = function () {
    return { name: this.name, $type: { toObject: ({ name }) => ({ name }) } };
  };
`;
