import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { createControllerMetrics } from '../../src/controller/metrics.ts';
import { createNodeMetrics } from '../../src/node/metrics.ts';
import { CHART } from './helm.ts';

test('the dashboard asks for metrics that there are', async () => {
  const help = (await Promise.all([createNodeMetrics().render(), createControllerMetrics().render()])).join();
  const known = new Set(Array.from(help.matchAll(/^# TYPE (\w+)/gm), ([, name]) => name));
  const dashboard = JSON.parse(await readFile(join(CHART, 'dashboards/csi-driver-bpffs.json'), 'utf8'));
  const expressions: string[] = dashboard.panels.flatMap(({ targets }: { targets: { expr: string }[] }) =>
    targets.map(({ expr }) => expr),
  );
  const names = expressions.flatMap((expression) => expression.match(/\bbpffs_\w+/g) ?? []);
  assert(names.length >= expressions.length - 2);
  for (const name of names) assert(known.has(name.replace(/_(bucket|count|sum)$/, '')), name);
});
