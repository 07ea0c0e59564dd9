import { join } from 'node:path';
import { createPinner } from '../../../src/pinner/pinner.ts';
import { startApiServer } from '../../apiserver/api-server.ts';
import { startFakePinner } from '../../node-plugin/fake-pinner.ts';
import { startController } from './controller.ts';
import { makeCluster } from './fleet.ts';

/** Starts what simulated nodes need: an API server with the driver's objects, the controller, and a pinner. They end with `stack`. */
export async function startSurroundings(stack: AsyncDisposableStack) {
  const api = await startApiServer();
  stack.defer(() => api.stop());
  const socket = join(api.directory, 'pinner.sock');
  const fake = await startFakePinner(socket);
  stack.defer(() => fake.stop());
  const pinner = createPinner(socket);
  stack.defer(() => pinner.close());
  await makeCluster(api);
  const controller = stack.use(await startController(api));
  return { api, pinner, controller };
}
