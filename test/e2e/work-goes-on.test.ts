import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NAMESPACE } from '../deploy/helm.ts';
import { removeClaim } from './claims.ts';
import { claim, storageClass } from './objects.ts';
import { claimed, pod } from './pods.ts';
import { cluster } from './running.ts';
import { useSpace } from './space.ts';

const space = useSpace();

/** The last file by name: whatever the others did, and however long there was no claim. */
test('in the end a claim is served by controllers that have never ended', async () => {
  const name = `${space.name}-last`;
  await space.apply(storageClass(name, { type: 'workspace' }), claim('last', name));
  await space.start(pod('last', { volume: claimed('last') }));
  await space.stop('last');
  await removeClaim(space, 'last');
  const selector = '--selector=app.kubernetes.io/component=controller';
  const pods = JSON.parse(
    await cluster.kubectl('get', 'pods', selector, `--namespace=${NAMESPACE}`, '--output=json'),
  ).items;
  const restarts = pods.flatMap(({ status }: PodObject) =>
    [...(status.initContainerStatuses ?? []), ...status.containerStatuses].map((container) => [
      container.name,
      container.restartCount,
    ]),
  );
  const two = ['controller', 'provisioner'].map((container) => [container, 0]);
  assert.deepEqual(restarts, [...two, ...two]);
});

interface PodObject {
  readonly status: {
    readonly initContainerStatuses?: readonly Container[];
    readonly containerStatuses: readonly Container[];
  };
}

interface Container {
  readonly name: string;
  readonly restartCount: number;
}
