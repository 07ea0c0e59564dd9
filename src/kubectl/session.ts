import { createKubernetesClient, type KubernetesClient } from '../kubernetes/client.ts';
import { askNode, type Reports } from './ask-node.ts';
import { askNodes, type Unanswered } from './ask-nodes.ts';
import { currentContext, type KubeconfigFlags } from './kubeconfig.ts';
import { findNodePods } from './node-pods.ts';
import { createPortForwarder } from './port-forward.ts';
import type { Progress } from './progress.ts';
import { YOU } from './you.ts';

/** The flags of every command. */
export interface SessionFlags extends KubeconfigFlags {
  /** Where the driver is installed. */
  readonly driverNamespace: string;
  /** Empty: all. */
  readonly nodes: readonly string[];
  /** Of each node's answer. */
  readonly timeoutMs: number;
}

/** A command's way to the cluster. */
export interface Session {
  readonly client: KubernetesClient;
  /** The context's namespace and cluster. */
  readonly namespace: string;
  readonly cluster: string;
  /**
   * Asks the nodes for reports and passes on each node's as it comes. Throws an ApiError if nodes cannot be found or asked at all. Returns
   * how many were asked, and which did not answer.
   */
  ask<K extends keyof Reports>(
    kinds: readonly K[],
    answered: (reports: Pick<Reports, K>) => void,
  ): Promise<{ readonly asked: number; readonly unanswered: readonly Unanswered[] }>;
  close(): void;
}

/** Throws BadConfiguration if the kubeconfig cannot be used. */
export async function openSession(flags: SessionFlags, progress?: Progress): Promise<Session> {
  const { config, namespace, cluster } = await currentContext(flags);
  const client = createKubernetesClient(config, YOU);
  const forwarder = createPortForwarder(config);
  return {
    client,
    namespace,
    cluster,
    async ask(kinds, answered) {
      const pods = await findNodePods(client, flags.driverNamespace, flags.nodes);
      const ask = async (pod: (typeof pods)[number], signal: AbortSignal) =>
        answered(await askNode(forwarder, pod, kinds, signal));
      const unanswered = await askNodes(pods, ask, {
        timeoutMs: flags.timeoutMs,
        progress: (asked) => progress?.show(asked, pods.length),
      }).finally(() => progress?.end());
      return { asked: pods.length, unanswered };
    },
    close: client.close,
  };
}
