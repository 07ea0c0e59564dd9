// Makes volumes one after another in the directory that is the first argument, named by the second, and writes the id of each
// to stdout once it exists. Two of these with the same arguments make the same volumes at once: the third is their number,
// the fourth the time to begin, in milliseconds since the epoch.
import { writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { openVolumeDirectory } from '../../src/volumes/volume-directory.ts';

const [directory = '', prefix = '', count = 'Infinity', begin = '0'] = process.argv.slice(2);
const store = openVolumeDirectory(directory);
await sleep(Math.max(0, Number(begin) - Date.now()));
for (let i = 0; i < Number(count); i++) {
  const { id } = await store.create({
    volumeName: `${prefix}-${i}`,
    content: { type: 'workspace' },
    userNamespace: false,
    accessModes: ['SINGLE_NODE_MULTI_WRITER'],
    capacityBytes: 0,
    nodeName: `${process.pid}`,
    claim: undefined,
  });
  writeSync(1, `${id}\n`);
}
