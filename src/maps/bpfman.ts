import * as z from 'zod/mini';
import { unavailable } from '../errors.ts';
import {
  MAX_STALENESS_SECONDS,
  type Reflector,
  type ReflectorOptions,
  startReflector,
} from '../kubernetes/reflector.ts';
import type { KubernetesObject } from '../kubernetes/resource.ts';
import type { BpfmanSource } from './catalog.ts';
import { didYouMean } from './nearest.ts';

/**
 * A map of a program with a known id. The kernel reuses ids, certainly after a reboot, so the program must also have this name, and the tag
 * if one is given.
 */
export interface ProgramMap {
  /** Names as the kernel keeps them: at most 15 characters. */
  readonly map: string;
  readonly program: string;
  /** Empty: any. */
  readonly programTag: string;
  readonly programId: number;
}

/** Finds programs that bpfman has loaded on this node. */
export interface Bpfman {
  /** Throws UNAVAILABLE, saying what is missing, until bpfman has loaded the program. */
  resolve(source: BpfmanSource): Promise<ProgramMap>;
  close(): void;
}

export interface BpfmanOptions extends Pick<ReflectorOptions<never>, 'client' | 'failing' | 'timing'> {
  readonly nodeName: string;
}

const GROUP = { group: 'bpfman.io', version: 'v1alpha1' };
const KINDS = {
  cluster: { resource: { ...GROUP, plural: 'clusterbpfapplicationstates' }, application: 'ClusterBpfApplication' },
  namespaced: { resource: { ...GROUP, plural: 'bpfapplicationstates' }, application: 'BpfApplication' },
} as const;

interface Followed {
  readonly reflector: Reflector<State | undefined>;
  /** Resolves at the API server's first answer or error, or after FIRST_ANSWER_MS. */
  readonly answered: Promise<void>;
}

/** The label with the name of a state's application. */
const OWNER = 'bpfman.io/ownedByProgram';

const stateSchema = z.object({
  status: z.object({
    node: z.string(),
    appLoadStatus: z.nullish(z.string()),
    programs: z.nullish(z.array(z.object({ name: z.string(), programId: z.nullish(z.number()) }))),
  }),
});

/** What is kept of a (Cluster)BpfApplicationState. */
interface State {
  readonly application: string;
  readonly namespace: string | undefined;
  readonly node: string;
  readonly loadStatus: string;
  readonly programs: ReadonlyMap<string, number | undefined>;
}

/** How long the first caller waits for the API server. */
const FIRST_ANSWER_MS = 2000;

/** Linux truncates names to this length (BPF_OBJ_NAME_LEN). */
const KERNEL_NAME = 15;

/**
 * Uses bpfman's ClusterBpfApplicationState and BpfApplicationState objects of this node. They are watched from the first call on, because
 * bpfman is not installed everywhere; it may be installed later.
 * https://github.com/bpfman/bpfman-operator/tree/main/apis/v1alpha1
 */
export function createBpfman(options: BpfmanOptions): Bpfman {
  const { nodeName } = options;
  const followed = new Map<keyof typeof KINDS, Followed>();

  function follow(kind: keyof typeof KINDS): Followed {
    const known = followed.get(kind);
    if (known !== undefined) return known;
    const first = Promise.withResolvers<void>();
    const reflector = startReflector({
      ...options,
      resource: KINDS[kind].resource,
      labelSelector: `kubernetes.io/hostname=${nodeName}`,
      parse: parseState,
      timing: { maxBackoffMs: 60_000, ...options.timing },
      failing(error) {
        first.resolve();
        options.failing?.(error);
      },
    });
    reflector.synced().then(first.resolve, first.resolve);
    setTimeout(first.resolve, FIRST_ANSWER_MS).unref();
    const following = { reflector, answered: first.promise };
    followed.set(kind, following);
    return following;
  }

  async function states(kind: keyof typeof KINDS): Promise<readonly State[]> {
    const { reflector, answered } = follow(kind);
    await answered;
    reflector.requireFresh(MAX_STALENESS_SECONDS);
    return [...reflector.current().values()].filter((state) => state !== undefined);
  }

  return {
    async resolve({ application, namespace, program, programTag = '', map }) {
      const kind = namespace === undefined ? 'cluster' : 'namespaced';
      const shown = `${KINDS[kind].application} ${namespace === undefined ? '' : `${namespace}/`}${application}`;
      const here = (await states(kind)).filter((state) => state.namespace === namespace && state.node === nodeName);
      const state = here.find((candidate) => candidate.application === application);
      if (state === undefined) {
        const others = here.map((candidate) => candidate.application);
        throw unavailable(`bpfman knows no ${shown} on node ${nodeName}${didYouMean(application, others)}`);
      }
      if (!state.programs.has(program)) {
        throw unavailable(`${shown} has no program "${program}"${didYouMean(program, state.programs.keys())}`);
      }
      const programId = state.programs.get(program);
      if (programId === undefined) {
        throw unavailable(
          `bpfman has not loaded program "${program}" of ${shown} on node ${nodeName}: ${state.loadStatus}`,
        );
      }
      return { map, program: program.slice(0, KERNEL_NAME), programTag, programId };
    },
    close() {
      for (const { reflector } of followed.values()) reflector.close();
    },
  };
}

/** Undefined: invalid, so that its application counts as unknown. */
function parseState(object: KubernetesObject): State | undefined {
  const application = object.metadata.labels?.[OWNER];
  const parsed = stateSchema.safeParse(object);
  if (application === undefined || !parsed.success) return undefined;
  const { node, appLoadStatus, programs } = parsed.data.status;
  return {
    application,
    namespace: object.metadata.namespace,
    node,
    loadStatus: appLoadStatus ?? 'no status yet',
    programs: new Map(programs?.map(({ name, programId }) => [name, programId || undefined])),
  };
}
