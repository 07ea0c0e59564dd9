import { join } from 'node:path';
import { execa } from 'execa';
import { CallError, Code } from '../errors.ts';
import type { Volume } from '../rpc/csi.ts';
import type { Pod } from './kubelet.ts';
import type { LocalNode } from './local-node.ts';

/** The result of a step: whether it was allowed, and its output. */
export interface Outcome {
  readonly allowed: boolean;
  readonly text: string;
}

/** Something that a pod tries, and the result that it must have. */
export interface Step {
  readonly who: string;
  readonly what: string;
  readonly allowed: boolean;
  /** What the text must contain. */
  readonly says?: string;
  run(): Promise<Outcome>;
}

const COLLECTOR: Pod = {
  namespace: 'prod',
  serviceAccount: 'collector',
  name: 'collector-0',
  volumeAttributes: { maps: 'flows' },
};
const TUNER: Pod = {
  namespace: 'prod',
  serviceAccount: 'tuner',
  name: 'tuner-0',
  volumeAttributes: { maps: 'flows, limits:rw' },
};

const who = (pod: Pod) => `${pod.namespace}/${pod.serviceAccount}`;

/** The steps of a pod; its programs run as uid 65534 in its volume. */
function stepsOf({ kubelet }: LocalNode, program: string) {
  return {
    publish: (pod: Pod, what: string, allowed: boolean, says = ''): Step => ({
      who: who(pod),
      what: `publish  ${what}`,
      allowed,
      says,
      run: () => rpc(() => kubelet.publish(pod)),
    }),
    use: (pod: Pod, what: string, args: readonly [string, string, ...string[]], allowed: boolean, says = ''): Step => ({
      who: who(pod),
      what: `  uid 65534 ${what}`,
      allowed,
      says,
      run: () => asNobody(program, [args[0], join(kubelet.volumePath(pod), args[1]), ...args.slice(2)]),
    }),
    unpublish: (pod: Pod): Step => ({
      who: who(pod),
      what: 'unpublish',
      allowed: true,
      run: () => rpc(() => kubelet.unpublish(pod)),
    }),
  };
}

/** Pods with maps of the catalog. `program`: dist/map, where uid 65534 can run it. */
export function inlineSteps(node: LocalNode, program: string): readonly Step[] {
  const { publish: publishPod, use, unpublish } = stepsOf(node, program);
  const publish = (pod: Pod, allowed: boolean, says = '') =>
    publishPod(pod, `maps: "${pod.volumeAttributes?.maps}"`, allowed, says);
  const asks = (pod: Pod, maps: string): Pod => ({ ...pod, name: `${pod.name}-other`, volumeAttributes: { maps } });
  return [
    publish(COLLECTOR, true),
    use(COLLECTOR, 'reads flows', ['read', 'flows'], true, '443=98000'),
    use(COLLECTOR, 'writes flows', ['write', 'flows', '80', '0'], false, 'EROFS'),
    publish(TUNER, true),
    use(TUNER, 'writes limits', ['write', 'limits', '7', '100'], true),
    use(TUNER, 'reads limits', ['read', 'limits'], true, '7=100'),
    use(TUNER, 'writes flows', ['write', 'flows', '80', '0'], false, 'EROFS'),
    {
      who: who(TUNER),
      what: '  uid 0 makes a directory in the volume',
      allowed: false,
      says: 'Read-only file system',
      run: () => asRoot('mkdir', [join(node.kubelet.volumePath(TUNER), 'new')]),
    },
    publish(asks(COLLECTOR, 'limits:rw'), false, 'PERMISSION_DENIED'),
    publish(asks(TUNER, 'flows:rw'), false, 'PERMISSION_DENIED'),
    publish(asks(TUNER, 'limit'), false, 'NOT_FOUND'),
    unpublish(COLLECTOR),
    unpublish(TUNER),
  ];
}

/** Two pods that mount the same claim. */
export function sharedSteps(node: LocalNode, program: string, persistentVolume: Volume): readonly Step[] {
  const { publish, use, unpublish } = stepsOf(node, program);
  const mounts = (name: string): Pod => ({
    namespace: 'prod',
    serviceAccount: name,
    name: `${name}-0`,
    persistentVolume,
  });
  const [producer, consumer] = [mounts('producer'), { ...mounts('consumer'), readOnly: true }];
  return [
    publish(producer, 'claim: counts', true),
    use(producer, 'writes counts', ['write', 'counts', '0', '5'], true),
    unpublish(producer),
    publish(consumer, 'claim: counts, readOnly', true),
    use(consumer, 'reads counts', ['read', 'counts'], true, '0=5'),
    use(consumer, 'writes counts', ['write', 'counts', '0', '0'], false, 'EROFS'),
    unpublish(consumer),
  ];
}

async function rpc(call: () => Promise<void>): Promise<Outcome> {
  try {
    await call();
    return { allowed: true, text: '' };
  } catch (error) {
    const { code, message } = CallError.from(error);
    return { allowed: false, text: `${Code[code]}: ${message}` };
  }
}

/** Runs a program as a pod without privileges does. */
async function asNobody(program: string, args: readonly string[]): Promise<Outcome> {
  return outcomeOf(await execa(program, args, { uid: 65534, gid: 65534, reject: false }));
}

/** Runs a program as uid 0 with the capabilities that container runtimes give by default. */
async function asRoot(program: string, args: readonly string[]): Promise<Outcome> {
  const drop = ['--bounding-set=-sys_admin,-bpf', '--inh-caps=-all', '--', program, ...args];
  return outcomeOf(await execa('setpriv', drop, { env: { LC_ALL: 'C' }, reject: false }));
}

function outcomeOf({ exitCode, stdout, stderr }: { exitCode?: number; stdout: string; stderr: string }): Outcome {
  const allowed = exitCode === 0;
  return { allowed, text: allowed ? stdout.replaceAll('\n', ' ') : stderr };
}
