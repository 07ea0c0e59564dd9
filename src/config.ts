import { isAbsolute, normalize } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { DoctorConfig } from './cli/doctor.ts';
import { type LogLevel, logLevels } from './logger.ts';

/** How `csi-driver-bpffs node` was told to run. Socket paths are absolute file paths. */
export interface NodeConfig {
  readonly driverName: string;
  readonly nodeId: string;
  /** Where the CSI services are served. */
  readonly endpoint: string;
  readonly pinnerEndpoint: string;
  /** Where the kubelet's registration service is served; undefined: not at all. */
  readonly registrationSocket: string | undefined;
  /** The CSI socket as the kubelet sees it on the host. */
  readonly kubeletEndpoint: string;
  readonly catalog: string;
  readonly grants: string;
  /** Undefined: no HTTP server. Port 0 takes any free port. */
  readonly http: { readonly host: string; readonly port: number } | undefined;
  readonly maxCalls: number;
  readonly maxQueuedCalls: number;
  readonly drainTimeoutMs: number;
  readonly logLevel: LogLevel;
}

type NodeFlags = Omit<NodeConfig, 'http' | 'drainTimeoutMs' | 'kubeletEndpoint'> & {
  readonly httpAddress: NodeConfig['http'];
  readonly drainTimeout: number;
  readonly kubeletEndpoint?: string;
};

/**
 * The `node` command: every flag can come from the environment as BPFFS_<FLAG>. `run` gets the complete, checked
 * configuration; what cannot be used ends in a commander error before `run` is called.
 */
export function nodeCommand(run: (config: NodeConfig) => Promise<void>): Command {
  return new Command('node')
    .description(
      "serve the kubelet on this node: who asks, what may it have? Needs no privileges; the pinner does the kernel's part",
    )
    .addOption(required('--node-id <name>', "this node's name, at most 256 bytes", 'BPFFS_NODE_ID', nodeId))
    .addOption(required('--catalog <file>', 'YAML with the BpfMap objects that exist', 'BPFFS_CATALOG', absolutePath))
    .addOption(required('--grants <file>', 'YAML with the RBAC objects that grant them', 'BPFFS_GRANTS', absolutePath))
    .addOption(endpoint())
    .addOption(pinnerEndpoint())
    .addOption(registrationSocket())
    .addOption(
      new Option('--kubelet-endpoint <socket>', 'the CSI socket as the kubelet sees it (default: --endpoint)')
        .env('BPFFS_KUBELET_ENDPOINT')
        .argParser(socketPath),
    )
    .addOption(
      flag(
        '--driver-name <name>',
        'the name of the CSIDriver object',
        'BPFFS_DRIVER_NAME',
        driverName,
        'csi.bpffs.dev',
      ),
    )
    .addOption(
      flag(
        '--http-address <host:port>',
        '/healthz, /readyz and /metrics, or "off"',
        'BPFFS_HTTP_ADDRESS',
        httpAddress,
        '127.0.0.1:9808',
      ),
    )
    .addOption(flag('--max-calls <n>', 'volume calls worked on at a time', 'BPFFS_MAX_CALLS', integer(1, 65536), '32'))
    .addOption(
      flag('--max-queued-calls <n>', 'volume calls that may wait', 'BPFFS_MAX_QUEUED_CALLS', integer(0, 65536), '512'),
    )
    .addOption(
      flag(
        '--drain-timeout <seconds>',
        'how long calls may finish at SIGTERM',
        'BPFFS_DRAIN_TIMEOUT',
        integer(0, 3600),
        '10',
      ),
    )
    .addOption(
      new Option('--log-level <level>', 'least severe level that is logged')
        .env('BPFFS_LOG_LEVEL')
        .choices(logLevels)
        .default('info' satisfies LogLevel),
    )
    .action(({ httpAddress: http, drainTimeout, ...flags }: NodeFlags) =>
      run(
        Object.freeze({
          ...flags,
          http,
          kubeletEndpoint: flags.kubeletEndpoint ?? flags.endpoint,
          drainTimeoutMs: drainTimeout * 1000,
        }),
      ),
    );
}

/** The `doctor` command: where to look; the flags that `node` has too are the same. */
export function doctorCommand(run: (config: DoctorConfig) => Promise<void>): Command {
  return new Command('doctor')
    .description('check what this node can do, and say what to do where it cannot')
    .addOption(endpoint())
    .addOption(pinnerEndpoint())
    .addOption(registrationSocket())
    .addOption(
      flag(
        '--kubelet-dir <path>',
        'where volumes are published',
        'BPFFS_KUBELET_DIR',
        absolutePath,
        '/var/lib/kubelet',
      ),
    )
    .addOption(flag('--pin-root <path>', 'where maps are pinned', 'BPFFS_PIN_ROOT', absolutePath, '/sys/fs/bpf'))
    .action(run);
}

/** The `demo` command. `directory`: undefined, unless the demo has called itself in namespaces of its own. */
export function demoCommand(run: (directory: string | undefined) => Promise<void>): Command {
  return new Command('demo')
    .description('publish real maps to two pods on this machine, without a cluster; needs root, leaves nothing behind')
    .addOption(new Option('--directory <path>').argParser(absolutePath).hideHelp())
    .action(({ directory }: { directory?: string }) => run(directory));
}

function endpoint(): Option {
  return flag(
    '--endpoint <socket>',
    'where CSI is served',
    'BPFFS_ENDPOINT',
    socketPath,
    'unix:///run/csi-driver-bpffs/csi.sock',
  );
}

function pinnerEndpoint(): Option {
  return flag(
    '--pinner-endpoint <socket>',
    'where the pinner listens',
    'BPFFS_PINNER_ENDPOINT',
    socketPath,
    'unix:///run/csi-driver-bpffs/pinner.sock',
  );
}

function registrationSocket(): Option {
  return new Option(
    '--registration-socket <socket>',
    "where the kubelet's plugin registration is served (default: not served)",
  )
    .env('BPFFS_REGISTRATION_SOCKET')
    .argParser(socketPath);
}

function flag<T>(
  flags: string,
  description: string,
  env: string,
  parse: (value: string) => T,
  fallback: string,
): Option {
  return new Option(flags, description).env(env).argParser(parse).default(parse(fallback), fallback);
}

function required<T>(flags: string, description: string, env: string, parse: (value: string) => T): Option {
  return new Option(flags, description).env(env).argParser(parse).makeOptionMandatory();
}

function nodeId(value: string): string {
  if (value === '' || Buffer.byteLength(value) > 256) throw new InvalidArgumentError('It must have 1 to 256 bytes.');
  return value;
}

function driverName(value: string): string {
  if (value.length > 63 || !/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(value)) {
    throw new InvalidArgumentError('It must be a domain name of at most 63 characters.');
  }
  return value;
}

function absolutePath(value: string): string {
  if (!isAbsolute(value)) throw new InvalidArgumentError('It must be an absolute path.');
  return normalize(value);
}

function socketPath(value: string): string {
  const path = value.replace(/^unix:(\/\/)?(?=\/)/, '');
  if (!isAbsolute(path)) throw new InvalidArgumentError('It must be a unix socket: unix:///run/example.sock.');
  // sun_path has room for 107 bytes and its terminator: https://man7.org/linux/man-pages/man7/unix.7.html
  if (Buffer.byteLength(path) > 107) throw new InvalidArgumentError('A unix socket path has at most 107 bytes.');
  return normalize(path);
}

function httpAddress(value: string): NodeConfig['http'] {
  if (value === '' || value === 'off') return undefined;
  const match = /^(?:\[(?<v6>[0-9a-fA-F:.]+)\]|(?<host>[^:[\]]*)):(?<port>\d{1,5})$/.exec(value);
  const port = Number(match?.groups?.port);
  if (match === null || port > 65535) throw new InvalidArgumentError('It must be host:port, or off.');
  return { host: match.groups?.v6 ?? (match.groups?.host || '0.0.0.0'), port };
}

function integer(least: number, most: number): (value: string) => number {
  return (value) => {
    const number = /^\d{1,6}$/.test(value) ? Number(value) : Number.NaN;
    if (!(number >= least && number <= most))
      throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
    return number;
  };
}
