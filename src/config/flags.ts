import { BlockList, isIP } from 'node:net';
import { isAbsolute, normalize } from 'node:path';
import { InvalidArgumentError, Option } from 'commander';
import type { LeaseKey } from '../kubernetes/lease.ts';
import { type LogLevel, logLevels } from '../logger.ts';
import type { HttpAddress } from '../process/http-server.ts';

/** A flag with a default. `parse` throws InvalidArgumentError for an invalid value. */
export function flag<T>(
  flags: string,
  description: string,
  env: string,
  parse: (value: string) => T,
  fallback: string,
): Option {
  return new Option(flags, description).env(env).argParser(parse).default(parse(fallback), fallback);
}

/** A mandatory flag. */
export function required<T>(flags: string, description: string, env: string, parse: (value: string) => T): Option {
  return new Option(flags, description).env(env).argParser(parse).makeOptionMandatory();
}

/** A flag that is undefined unless given; its description says what that means. */
export function optional<T>(flags: string, description: string, env: string, parse: (value: string) => T): Option {
  return new Option(flags, description).env(env).argParser(parse);
}

/** A flag that needs no value and takes only true and false: commander itself would take anything from the environment. */
export function boolean(flag: string, description: string, env: string): Option {
  return new Option(`${flag} [boolean]`, description).env(env).argParser(trueOrFalse);
}

export function endpoint(fallback: string): Option {
  return flag('--endpoint <socket>', 'where CSI is served', 'BPFFS_ENDPOINT', socketPath, fallback);
}

/** The flags that node plugin and controller share. */
export function serviceFlags(fallbackHttpAddress: string): readonly Option[] {
  return [
    flag('--driver-name <name>', 'the name of the CSIDriver object', 'BPFFS_DRIVER_NAME', driverName, 'csi.bpffs.dev'),
    flag(
      '--http-address <host:port>',
      '/healthz, /readyz and /metrics, or "off"; without a host, on all addresses',
      'BPFFS_HTTP_ADDRESS',
      httpAddress,
      fallbackHttpAddress,
    ),
    flag(
      '--drain-timeout <seconds>',
      'how long calls may finish at SIGTERM',
      'BPFFS_DRAIN_TIMEOUT',
      integer(0, 3600),
      '10',
    ),
    new Option('--log-level <level>', 'least severe level that is logged')
      .env('BPFFS_LOG_LEVEL')
      .choices(logLevels)
      .default('info' satisfies LogLevel),
  ];
}

function trueOrFalse(value: string): boolean {
  if (value !== 'true' && value !== 'false') throw new InvalidArgumentError('It must be true or false.');
  return value === 'true';
}

export function nodeName(value: string): string {
  if (value === '' || Buffer.byteLength(value) > 256) throw new InvalidArgumentError('It must have 1 to 256 bytes.');
  return value;
}

export function leaseKey(value: string): LeaseKey {
  const [, namespace, name] = /^([a-z0-9-]{1,63})\/([a-z0-9.-]{1,253})$/.exec(value) ?? [];
  if (namespace === undefined || name === undefined) throw new InvalidArgumentError('It must be namespace/name.');
  return { namespace, name };
}

export function absolutePath(value: string): string {
  if (!isAbsolute(value)) throw new InvalidArgumentError('It must be an absolute path.');
  return normalize(value);
}

/** Takes one path, or several, separated by commas. */
export function absolutePaths(value: string): readonly string[] {
  return value.split(',').map(absolutePath);
}

/** Takes a path, with or without `unix://` before it. */
export function socketPath(value: string): string {
  const path = value.replace(/^unix:(\/\/)?(?=\/)/, '');
  if (!isAbsolute(path)) throw new InvalidArgumentError('It must be a unix socket: unix:///run/example.sock.');
  // sun_path has room for 107 bytes and its terminator: https://man7.org/linux/man-pages/man7/unix.7.html
  if (Buffer.byteLength(path) > 107) throw new InvalidArgumentError('A unix socket path has at most 107 bytes.');
  return normalize(path);
}

export function integer(min: number, max: number): (value: string) => number {
  return (value) => {
    const number = /^\d{1,6}$/.test(value) ? Number(value) : Number.NaN;
    if (!(number >= min && number <= max))
      throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
    return number;
  };
}

function driverName(value: string): string {
  if (value.length > 63 || !/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(value)) {
    throw new InvalidArgumentError('It must be a domain name of at most 63 characters.');
  }
  return value;
}

/** A loopback address, which nobody outside of the process's network namespace can reach; or undefined. */
export function loopbackAddress(value: string): HttpAddress | undefined {
  const address = httpAddress(value);
  if (address === undefined || isLoopback(address.host)) return address;
  throw new InvalidArgumentError(
    'It must be a loopback address, of 127.0.0.0/8 or [::1], or off: whoever reaches it sees which pods use which maps.',
  );
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8);
LOOPBACK.addAddress('::1', 'ipv6');

/** A name, such as localhost, can lead anywhere. */
function isLoopback(host: string): boolean {
  const version = isIP(host);
  return version !== 0 && LOOPBACK.check(host, version === 4 ? 'ipv4' : 'ipv6');
}

function httpAddress(value: string): HttpAddress | undefined {
  if (value === '' || value === 'off') return undefined;
  const match = /^(?:\[(?<v6>[0-9a-fA-F:.]+)\]|(?<host>[^:[\]]*)):(?<port>\d{1,5})$/.exec(value);
  const port = Number(match?.groups?.port);
  if (match === null || port > 65535) throw new InvalidArgumentError('It must be host:port, or off.');
  return { host: match.groups?.v6 ?? match.groups?.host ?? '', port };
}
