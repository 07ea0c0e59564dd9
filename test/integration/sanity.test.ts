import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { execa } from 'execa';
import { withNode } from './node.ts';
import { serveAsKubelet } from './sanity-kubelet.ts';

/** Tests of csi-sanity 5.6.0 that run: all but those for attaching, snapshots, expansion, modification, groups and capacity. */
const RUN = 43;
const SKIPPED_BY_CAPABILITY = 59;
const SWITCHED_OFF_BY_ITS_AUTHORS = 1;

/** A report as Ginkgo writes it: https://pkg.go.dev/github.com/onsi/ginkgo/v2/types#SpecReport */
interface Spec {
  readonly LeafNodeType: string;
  readonly LeafNodeText: string;
  readonly State: string;
  readonly Failure?: { readonly Message: string };
}

const CLASSES = {
  shared: 'type: shared\nnewMaps: "[{ name: counts, type: array, keySize: 4, valueSize: 8, maxEntries: 16 }]"\n',
  workspace: 'type: workspace\n',
};

for (const [type, parameters] of Object.entries(CLASSES)) {
  test(`csi-sanity finds nothing wrong, with volumes of type ${type}`, async () => {
    await withNode(async ({ csiSocket, controllerSocket, kubeletDirectory }, directory) => {
      const [parametersFile, report] = [join(directory, 'parameters.yaml'), join(directory, 'report.json')];
      await writeFile(parametersFile, parameters);
      const kubelet = await serveAsKubelet(join(directory, 'kubelet.sock'), csiSocket, kubeletDirectory);
      const { stdout } = await execa(
        'test/conformance/bin/csi-sanity',
        [
          ...['--csi.endpoint', kubelet.socket, '--csi.controllerendpoint', controllerSocket],
          ...['--csi.mountdir', join(directory, 'sanity'), '--csi.stagingdir', join(directory, 'staging')],
          ...['--csi.testvolumeparameters', parametersFile, '--ginkgo.no-color', '--ginkgo.json-report', report],
        ],
        { reject: false },
      );
      kubelet.close();
      const [{ SpecReports: all }] = JSON.parse(await readFile(report, 'utf8')) as [{ SpecReports: readonly Spec[] }];
      const specs = all.filter(({ LeafNodeType }) => LeafNodeType === 'It');
      const count = (state: string) => specs.filter(({ State }) => State === state).length;
      process.stdout.write(
        `csi-sanity, type ${type}: ${count('passed')} passed, ${count('skipped')} skipped by capability, ${count('pending')} switched off\n`,
      );
      assert.deepEqual(
        specs.filter(({ State }) => !['passed', 'skipped', 'pending'].includes(State)).map((spec) => spec.LeafNodeText),
        [],
        stdout,
      );
      assert.deepEqual(
        [count('passed'), count('skipped'), count('pending')],
        [RUN, SKIPPED_BY_CAPABILITY, SWITCHED_OFF_BY_ITS_AUTHORS],
        stdout,
      );
    });
  });
}
