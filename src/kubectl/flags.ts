import { type Command, InvalidArgumentError, Option } from 'commander';
import { FORMATS, type Format } from './output.ts';
import type { SessionFlags } from './session.ts';

/** As commander parses the flags of every command. */
interface CommonFlags {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly as?: string;
  readonly namespace?: string;
  readonly driverNamespace: string;
  readonly node: readonly string[];
  readonly timeout: number;
  readonly output: Format;
}

/** The flags of every command, checked. */
export interface Flags extends SessionFlags {
  /** Undefined: all namespaces or, for a service account, the context's. */
  readonly namespace: string | undefined;
  readonly output: Format;
}

/** Adds them, named as kubectl's. */
export function withFlags(command: Command): Command {
  return command
    .addOption(new Option('--kubeconfig <file>', "kubectl's configuration (default: as for kubectl)"))
    .addOption(new Option('--context <name>', 'the context to use (default: the current one)'))
    .addOption(new Option('--as <user>', 'act as this user'))
    .addOption(new Option('-n, --namespace <name>', 'only pods, or the service account, of this namespace'))
    .addOption(new Option('--driver-namespace <name>', 'where the driver is installed').default('csi-driver-bpffs'))
    .addOption(
      new Option('--node <name>', 'ask only this node; may be repeated')
        .argParser((value: string, others: readonly string[]) => [...others, value])
        .default([], 'all'),
    )
    .addOption(
      new Option('--timeout <seconds>', "how long to wait for each node's answer").argParser(seconds).default(10),
    )
    .addOption(new Option('-o, --output <format>', 'how to print').choices(FORMATS).default('table' satisfies Format));
}

export function checked({ node, timeout, kubeconfig, context, as, namespace, ...flags }: CommonFlags): Flags {
  return { ...flags, kubeconfig, context, as, namespace, nodes: node, timeoutMs: timeout * 1000 };
}

function seconds(value: string): number {
  if (!/^\d{1,4}$/.test(value) || Number(value) === 0) {
    throw new InvalidArgumentError('It must be a whole number from 1 to 9999.');
  }
  return Number(value);
}

/** "90s", "15m", "1h", "2d" in milliseconds. Throws InvalidArgumentError. */
export function duration(value: string): number {
  const [, count, unit = ''] = /^(\d{1,6})(s|m|h|d)$/.exec(value) ?? [];
  if (count === undefined) throw new InvalidArgumentError('It must be a duration: 90s, 15m, 1h or 2d.');
  return Number(count) * ({ s: 1, m: 60, h: 3600, d: 86_400 }[unit] ?? 0) * 1000;
}
