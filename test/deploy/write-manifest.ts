// Writes deploy/csi-driver-bpffs.yaml: the chart with its default values and a namespace, for those without Helm.
import { writeFile } from 'node:fs/promises';
import { MANIFEST, renderManifest } from './helm.ts';

await writeFile(MANIFEST, await renderManifest());
