import { Command, Option } from 'commander';
import type { DoctorConfig } from '../cli/doctor/config.ts';
import type { ReleaseMapConfig } from '../cli/release-map.ts';
import type { ControllerConfig } from '../controller/config.ts';
import { BadConfiguration } from '../errors.ts';
import type { NodeConfig, PolicyConfig } from '../node/config.ts';
import type { HttpAddress } from '../process/http-server.ts';
import { accessLease, type ClusterFlags, cluster, kubeconfig, parseCluster } from './cluster-flags.ts';
import {
  absolutePath,
  absolutePaths,
  endpoint,
  flag,
  integer,
  loopbackAddress,
  nodeName,
  optional,
  required,
  serviceFlags,
  socketPath,
} from './flags.ts';

/** As commander parses them: a flag that has no default and is not given has no key. */
interface ServiceFlags {
  readonly httpAddress: HttpAddress | undefined;
  readonly drainTimeout: number;
}

interface FileFlags {
  readonly catalog?: string | undefined;
  readonly grants?: string | undefined;
  readonly volumes?: string | undefined;
}

type NodeFlags = Omit<NodeConfig, 'http' | 'inspection' | 'drainTimeoutMs' | 'policy'> &
  ServiceFlags &
  ClusterFlags &
  FileFlags & { readonly inspectionAddress: HttpAddress | undefined };
type ControllerFlags = Omit<ControllerConfig, 'http' | 'drainTimeoutMs' | 'store'> &
  ServiceFlags &
  ClusterFlags &
  Pick<FileFlags, 'volumes'>;

type DoctorFlags = Omit<DoctorConfig, 'pinRoots'> & { readonly pinRoot: DoctorConfig['pinRoots'] };

/**
 * The `node` command. Every flag can come from the environment as BPFFS_<FLAG>. `run` gets the complete, checked configuration; for an
 * invalid one commander throws before `run` is called.
 */
export function nodeCommand(run: (config: NodeConfig) => Promise<void>): Command {
  const command = new Command('node')
    .description(
      "serve the kubelet on this node: who asks, what may it have? Needs no privileges; the pinner does the kernel's part",
    )
    .addOption(required('--node-id <name>', "this node's name, at most 256 bytes", 'BPFFS_NODE_ID', nodeName))
    .addOption(cluster('BpfMaps, grants and volumes are those of the cluster that this node is in'))
    .addOption(kubeconfig())
    .addOption(accessLease())
    .addOption(
      optional(
        '--catalog <file>',
        'without a cluster: YAML with the BpfMap objects that exist',
        'BPFFS_CATALOG',
        absolutePath,
      ),
    )
    .addOption(
      optional(
        '--grants <file>',
        'without a cluster: YAML with the RBAC objects that grant them',
        'BPFFS_GRANTS',
        absolutePath,
      ),
    )
    .addOption(
      optional(
        '--volumes <directory>',
        'without a cluster: the volumes that the controller has made (default: none of type shared or workspace)',
        'BPFFS_VOLUMES',
        absolutePath,
      ),
    )
    .addOption(endpoint('unix:///run/csi-driver-bpffs/csi.sock'))
    .addOption(pinnerEndpoint())
    .addOption(registrationSocket())
    .addOption(
      optional(
        '--kubelet-endpoint <socket>',
        'the CSI socket as the kubelet sees it (default: --endpoint)',
        'BPFFS_KUBELET_ENDPOINT',
        socketPath,
      ),
    )
    .addOption(
      flag(
        '--max-calls <n>',
        'calls of the pinner at a time, and half as many that unpublish: the pinner takes 64 in all',
        'BPFFS_MAX_CALLS',
        integer(1, 40),
        '32',
      ),
    )
    .addOption(
      flag(
        '--max-queued-calls <n>',
        'volume calls that may wait beyond those',
        'BPFFS_MAX_QUEUED_CALLS',
        integer(0, 65536),
        '512',
      ),
    )
    .addOption(
      flag(
        '--inspection-address <host:port>',
        'for kubectl bpffs: what is on this node; a loopback address, or "off"',
        'BPFFS_INSPECTION_ADDRESS',
        loopbackAddress,
        '127.0.0.1:9807',
      ),
    )
    .addOption(
      optional(
        '--seccomp-profile <file>',
        'the installed seccomp profile for pods that use maps, to check whether it is the right one (default: not checked)',
        'BPFFS_SECCOMP_PROFILE',
        absolutePath,
      ),
    );
  for (const option of serviceFlags('127.0.0.1:9808')) command.addOption(option);
  return command.action((flags: NodeFlags) => {
    const { cluster, kubeconfig, catalog, grants, volumes, inspectionAddress: inspection, ...others } = flags;
    const { registrationSocket, kubeletEndpoint = flags.endpoint, seccompProfile } = flags;
    const policy = parsePolicy({ cluster, kubeconfig }, { catalog, grants, volumes });
    return run(
      Object.freeze({ ...toConfig(others), policy, inspection, registrationSocket, kubeletEndpoint, seccompProfile }),
    );
  });
}

/** The `controller` command; see nodeCommand. */
export function controllerCommand(run: (config: ControllerConfig) => Promise<void>): Command {
  const command = new Command('controller')
    .description('make the volumes of PersistentVolumeClaims, beside external-provisioner. Needs no privileges')
    .addOption(cluster('the volumes are kept in the cluster, as BpfVolume objects'))
    .addOption(kubeconfig())
    .addOption(accessLease())
    .addOption(
      optional(
        '--volumes <directory>',
        'without a cluster: where the volumes are kept, a file for each',
        'BPFFS_VOLUMES',
        absolutePath,
      ),
    )
    .addOption(
      optional(
        '--default-node <name>',
        'where volumes are that live in one node, when the caller does not say (default: such a call fails)',
        'BPFFS_DEFAULT_NODE',
        nodeName,
      ),
    )
    .addOption(endpoint('unix:///run/csi-driver-bpffs/controller.sock'));
  for (const option of serviceFlags('127.0.0.1:9809')) command.addOption(option);
  return command.action(({ cluster, kubeconfig, volumes: directory, ...flags }: ControllerFlags) => {
    const inCluster = parseCluster({ cluster, kubeconfig }, { '--volumes': directory }, process.env);
    const store = inCluster ?? { kind: 'directory' as const, directory: needed('--volumes', directory) };
    return run(Object.freeze({ ...toConfig(flags), store, defaultNode: flags.defaultNode }));
  });
}

/** The `release-map` command; see releaseMap. */
export function releaseMapCommand(run: (config: ReleaseMapConfig) => Promise<void>): Command {
  return new Command('release-map')
    .description('give up the map that the driver has made on this node for a BpfMap, once no volume has it')
    .argument('<name>', 'of the BpfMap')
    .addOption(pinnerEndpoint())
    .action((name: string, flags: { pinnerEndpoint: string }) => run({ ...flags, name }));
}

/** The `doctor` command; flags that `node` has too mean the same. */
export function doctorCommand(run: (config: DoctorConfig) => Promise<void>): Command {
  return new Command('doctor')
    .description('check what this node can do, and say what to do where it cannot')
    .addOption(endpoint('unix:///run/csi-driver-bpffs/csi.sock'))
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
    .addOption(
      flag(
        '--pin-root <paths>',
        'where maps are pinned: directories, separated by commas',
        'BPFFS_PIN_ROOT',
        absolutePaths,
        '/sys/fs/bpf',
      ),
    )
    .action(({ pinRoot: pinRoots, ...flags }: DoctorFlags) => run({ ...flags, pinRoots }));
}

/** The `demo` command. `directory`: undefined, unless the demo has started itself again in its own namespaces. */
export function demoCommand(run: (directory: string | undefined) => Promise<void>): Command {
  return new Command('demo')
    .description('publish real maps to two pods on this machine, without a cluster; needs root, leaves nothing behind')
    .addOption(new Option('--directory <path>').argParser(absolutePath).hideHelp())
    .action(({ directory }: { directory?: string }) => run(directory));
}

/** Throws BadConfiguration for conflicting flags. */
function parsePolicy(inCluster: ClusterFlags, { catalog, grants, volumes }: FileFlags): PolicyConfig {
  const others = { '--catalog': catalog, '--grants': grants, '--volumes': volumes };
  const found = parseCluster(inCluster, others, process.env);
  if (found !== undefined) return found;
  return { kind: 'files', catalog: needed('--catalog', catalog), grants: needed('--grants', grants), volumes };
}

function needed(flag: string, value: string | undefined): string {
  if (value !== undefined) return value;
  throw new BadConfiguration([`${flag} is required without --cluster`]);
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
  return optional(
    '--registration-socket <socket>',
    "where the kubelet's plugin registration is served (default: not served)",
    'BPFFS_REGISTRATION_SOCKET',
    socketPath,
  );
}

function toConfig<F extends ServiceFlags>({ httpAddress: http, drainTimeout, ...flags }: F) {
  return { ...flags, http, drainTimeoutMs: drainTimeout * 1000 };
}
