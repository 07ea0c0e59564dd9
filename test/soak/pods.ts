import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import type { Pod } from '../../src/cli/kubelet.ts';
import type { LocalNode } from '../../src/cli/local-node.ts';
import { CallError, Code } from '../../src/errors.ts';
import { claim, claimant, mapProgram, pod } from '../integration/node.ts';
import type { Random } from './random.ts';

/** A pod that comes and goes. */
export interface Actor {
  readonly pod: Pod;
  /** The errors that a first publish may end with, besides those that are retried. */
  readonly refusals: readonly Code[];
  isPublished: boolean;
}

/** What the kubelet retries. The pinner says RESOURCE_EXHAUSTED while its peer's attacks use up its limits. */
const REPEATED: readonly Code[] = [
  Code.UNAVAILABLE,
  Code.ABORTED,
  Code.CANCELLED,
  Code.DEADLINE_EXCEEDED,
  Code.RESOURCE_EXHAUSTED,
];

/** A grant may be withdrawn, or a source be gone, at any moment. */
const OF_MAPS: readonly Code[] = [Code.PERMISSION_DENIED];

/** Pods with every kind of volume; those with claims share them. */
export async function createActors(node: LocalNode): Promise<readonly Actor[]> {
  const newMaps = '- { name: counts, type: hash, keySize: 4, valueSize: 8, maxEntries: 64 }';
  const shared = await claim(node, 'shared', { type: 'shared', newMaps });
  const workspace = await claim(node, 'workspace', { type: 'workspace' });
  const pods: readonly Pod[] = [
    pod('flows'),
    pod('flows, limits:rw'),
    pod('limits:rw', { fsGroup: 2000 }),
    pod('flows, limits:rw', { volumeAttributes: { maps: 'flows, limits:rw', hostUsers: 'false' } }),
    pod('agent'),
    claimant(shared),
    claimant(shared, { readOnly: true }),
    claimant(workspace),
    claimant(workspace, { readOnly: true }),
  ];
  const twice = pods.flatMap((one) => [one, { ...one, name: `${one.name}-too` }]);
  return twice.map((one) => ({ pod: one, refusals: OF_MAPS, isPublished: false }));
}

/** Does something a kubelet may do with a pod at this moment. Throws an error that a kubelet should not get. */
export async function act({ kubelet }: LocalNode, actor: Actor, random: Random): Promise<void> {
  const { pod: of } = actor;
  if (!actor.isPublished) {
    await tolerate([...REPEATED, ...actor.refusals], async () => {
      await kubelet.publish(of);
      actor.isPublished = true;
    });
    return;
  }
  const what = random.next();
  if (what < 0.4) await tolerate(REPEATED, () => kubelet.publish(of));
  else if (what < 0.5) await tolerate(REPEATED, () => kubelet.stats(of));
  else if (what < 0.6) await tolerate(REPEATED, () => kubelet.health(of));
  // The kubelet gives up and retries; both calls may reach the kernel.
  else if (what < 0.7) await Promise.all([1, 2].map(() => tolerate(REPEATED, () => kubelet.publish(of))));
  else await end(kubelet, actor);
}

/** Unpublishes until it succeeds, as the kubelet does. */
export async function end(kubelet: LocalNode['kubelet'], actor: Actor): Promise<void> {
  let isDone = false;
  while (!isDone) {
    await tolerate(REPEATED, async () => {
      await kubelet.unpublish(actor.pod);
      isDone = true;
    });
    if (!isDone) await new Promise((resolve) => setTimeout(resolve, 10));
  }
  actor.isPublished = false;
}

async function tolerate(codes: readonly Code[], call: () => Promise<unknown>): Promise<void> {
  try {
    await call();
  } catch (thrown) {
    const error = CallError.from(thrown);
    if (!codes.includes(error.code)) throw error;
  }
}

/** Acts as a loader: pins another map at the source's path, and one in the workspace. */
export async function replaceSources(node: LocalNode, actors: readonly Actor[]): Promise<void> {
  const flows = join(node.pins, 'flows');
  await execa('rm', ['-f', flows]);
  await execa(mapProgram, ['create', flows]);
  await execa(mapProgram, ['write', flows, '1', '100']);
  const loader = actors.find(({ isPublished, pod: of }) => isPublished && isLoader(of));
  // If its pod ends just now, there is no workspace.
  if (loader !== undefined) await pinAgent(node, loader).catch(() => {});
}

/** Ensures that the map from the workspace exists; no pod may be published meanwhile. */
export async function restoreAgent(node: LocalNode, actors: readonly Actor[]): Promise<void> {
  const loader = actors.find(({ pod: of }) => isLoader(of));
  if (loader === undefined) throw new Error('no pod has the workspace to write to');
  await node.kubelet.publish(loader.pod);
  await pinAgent(node, loader);
  await end(node.kubelet, loader);
}

const isLoader = ({ persistentVolume, readOnly }: Pod) =>
  persistentVolume?.volumeContext.type === 'workspace' && readOnly !== true;

async function pinAgent({ kubelet }: LocalNode, loader: Actor): Promise<void> {
  const agent = join(kubelet.volumePath(loader.pod), 'agent');
  await execa('rm', ['-rf', agent]);
  await execa(mapProgram, ['create', agent]);
}

/** Resident memory of a process, in KiB. */
export async function residentKibibytes(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]);
}
