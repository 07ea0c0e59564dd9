import type { KubeConfig } from '@kubernetes/client-node';
import { execa } from 'execa';
import { BadConfiguration } from '../errors.ts';
import { parseKubeconfig } from '../kubernetes/kubeconfig.ts';

/** As kubectl's flags of the same names. Undefined: as kubectl does without the flag. */
export interface KubeconfigFlags {
  readonly kubeconfig: string | undefined;
  readonly context: string | undefined;
  /** A user to impersonate. */
  readonly as: string | undefined;
}

/** A kubeconfig with one context, and the namespace of that. */
export interface CurrentContext {
  readonly config: KubeConfig;
  readonly namespace: string;
  /** The cluster's name in the kubeconfig. */
  readonly cluster: string;
}

/**
 * Asks kubectl, which alone knows how it finds and merges its files. Throws BadConfiguration with what kubectl says, or if there is no
 * kubectl.
 */
export async function currentContext({ kubeconfig, context, as }: KubeconfigFlags): Promise<CurrentContext> {
  const flags = [
    ...(kubeconfig === undefined ? [] : [`--kubeconfig=${kubeconfig}`]),
    ...(context === undefined ? [] : [`--context=${context}`]),
  ];
  const view = ['config', 'view', '--raw', '--flatten', '--minify', '--output=json', ...flags];
  const { stdout, stderr, exitCode, code } = await execa('kubectl', view, { reject: false, stdin: 'ignore' });
  if (code === 'ENOENT') throw new BadConfiguration(['kubectl is not in any directory of PATH']);
  if (exitCode !== 0) throw new BadConfiguration([stderr.trim().replace(/^error: /, '')]);
  const config = parseKubeconfig(stdout, 'kubeconfig');
  if (as !== undefined) config.users = config.users.map((user) => ({ ...user, impersonateUser: as }));
  const current = config.getContextObject(config.currentContext);
  return { config, namespace: current?.namespace ?? 'default', cluster: current?.cluster ?? '' };
}
