import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { execa } from 'execa';
import { parse } from 'yaml';
import { createControllerMetrics } from '../../src/controller/metrics.ts';
import { createNodeMetrics, type NodeMetrics } from '../../src/node/metrics.ts';
import { serveHttp } from '../../src/process/http.ts';
import type { HttpServer } from '../../src/process/http-server.ts';
import type { MetricsPage } from '../../src/process/metrics.ts';
import type { CallMetrics } from '../../src/rpc/adapter.ts';
import { PublishVolumeResponse_Outcome as Outcome } from '../../src/rpc/pinner.ts';
import type { VolumeListing } from '../../src/volumes/volume-store.ts';
import { eventually } from '../cluster/eventually.ts';
import { CHART } from './helm.ts';
import { startPrometheus } from './prometheus.ts';

interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly annotations: Readonly<Record<string, string>>;
}

const alerts: readonly Alert[] = parse(
  await readFile(join(CHART, 'alerts/csi-driver-bpffs.yaml'), 'utf8'),
).groups.flatMap(({ rules }: { rules: readonly Alert[] }) => rules);
const { panels } = JSON.parse(await readFile(join(CHART, 'dashboards/csi-driver-bpffs.json'), 'utf8'));
const queries: readonly string[] = panels.flatMap(({ targets }: { targets: readonly { expr: string }[] }) =>
  targets.map(({ expr }) => expr),
);

test('dashboard and alerts ask for metrics that there are', async () => {
  const help = (await Promise.all([createNodeMetrics().render(), createControllerMetrics().render()])).join();
  const known = new Set(Array.from(help.matchAll(/^# TYPE (\w+)/gm), ([, name]) => name));
  const expressions = [...queries, ...alerts.map(({ expr }) => expr)];
  const names = expressions.flatMap((expression) => expression.match(/\bbpffs_\w+/g) ?? []);
  assert(names.length >= expressions.length - 2);
  for (const name of names) assert(known.has(name.replace(/_(bucket|count|sum)$/, '')), name);
});

test('an alert fires when it should, and no other does', async () => {
  const tests = await readFile(join(import.meta.dirname, 'alerts.yaml'), 'utf8');
  for (const { alert } of alerts) assert(tests.includes(`alertname="${alert}"`), `${alert} has no test`);
  await execa(join(import.meta.dirname, 'bin/promtool'), ['test', 'rules', 'alerts.yaml'], {
    cwd: import.meta.dirname,
  });
});

test('every alert says what happens, and what to do', async () => {
  const runbooks = await readFile(join(CHART, '../../docs/runbooks.md'), 'utf8');
  const described = Array.from(runbooks.matchAll(/^## (.*)$/gm), ([, title]) => title);
  assert.deepEqual(alerts.map(({ alert }) => alert).toSorted(), described.toSorted());
  for (const { alert, annotations } of alerts) {
    assert(annotations.summary && annotations.description, alert);
    assert(annotations.runbook_url?.endsWith(`/docs/runbooks.md#${alert.toLowerCase()}`), alert);
  }
});

test('Prometheus has an answer to every query of the dashboard, and to none of the alerts', async () => {
  const node = createNodeMetrics();
  const controller = createControllerMetrics();
  await using stack = new AsyncDisposableStack();
  const serve = async (metrics: MetricsPage): Promise<HttpServer> =>
    stack.adopt(await servePage(metrics), (server) => server.close());
  const [atNode, atController] = [await serve(node), await serve(controller)];
  const prometheus = stack.use(await startPrometheus({ one: atNode.address, two: atController.address }));

  controller.volumesSeen(VOLUMES);
  // What is counted has to be counted while it is looked at, or there is no rate.
  const timer = setInterval(() => {
    work(node);
    for (const method of ['CreateVolume', 'DeleteVolume']) serveCall(controller, method);
  }, 100);
  stack.defer(() => clearInterval(timer));
  // Of cAdvisor, which is not there.
  const ours = queries.filter((query) => !query.includes('container_memory'));
  assert(ours.length > 20);
  for (const query of ours) {
    const filled = query.replaceAll('$node', '.*').replaceAll('$__rate_interval', '10s');
    await eventually(`an answer to ${query}`, 60, async () => (await prometheus.query(filled)).length > 0);
  }
  const told = alerts.filter(({ alert }) => alert !== 'BpffsDenials');
  for (const { alert, expr } of told) assert.deepEqual(await prometheus.query(expr), [], alert);
});

/** What is served at /metrics of a process that is well. */
function servePage(metrics: MetricsPage): Promise<HttpServer> {
  const parts = { health() {}, async readiness() {}, metrics, async observe() {} };
  return serveHttp({ host: '127.0.0.1', port: 0 }, parts);
}

function serveCall(metrics: CallMetrics, method: string): void {
  metrics.served(method);
  metrics.callStarted();
  metrics.callEnded(method, 'OK', 0.002);
}

/** A moment of a node that is well, with a pod that is refused a map, and another whose maps change. */
function work(metrics: NodeMetrics): void {
  for (const method of ['NodePublishVolume', 'NodeUnpublishVolume']) serveCall(metrics, method);
  for (const outcome of [Outcome.CREATED, Outcome.UNCHANGED]) metrics.published(outcome, 0.002);
  metrics.denied('read', 'grant');
  metrics.refused('denied', 'new');
  metrics.volumeChanged('MapReplaced', 1);
  metrics.mapMemorySeen([{ namespace: 'prod', map: 'flows', bytes: 4096 }]);
  metrics.answerLookedUp('access', undefined);
  metrics.catalogSeen({ maps: 3, invalid: 0 });
  metrics.registrationSeen(true);
  metrics.csiDriverSeen({ stopping: [], other: [] });
  metrics.watchSeen('bpfmaps.bpffs.dev', 7);
  metrics.accessHeard(true);
  const share = { used: 1, limit: 8 };
  metrics.pinnerSeen({
    volumes: 4,
    budget: { createdMaps: share, createdMemoryBytes: share, workspaces: share },
    node: { kernelRelease: '6.18.0', version: '1.0.0', features: [], droppedLogLines: 0, pinRoots: [], kubeletDir: '' },
  });
}

const VOLUMES: VolumeListing = { volumes: [], damaged: [] };
