import { invalidArgument, outOfRange } from '../errors.ts';
import { mapMemoryBytes } from '../maps/map-memory.ts';
import type { CapacityRange } from '../rpc/csi.ts';
import type { VolumeContent } from '../volumes/volume.ts';

/** Bytes; undefined: not specified. */
interface Range {
  readonly required: number | undefined;
  readonly limit: number | undefined;
}

/**
 * The volume's capacity in bytes: what is requested, else what its maps take, else the limit; 0 if nothing is known. Throws OUT_OF_RANGE
 * when the maps of a shared volume take more than is requested or allowed, so that a claim's request, which quotas count, is no less than
 * the memory. The other types take no memory of their own.
 */
export function chooseCapacity(requested: CapacityRange | null, content: VolumeContent): number {
  const { required, limit } = parseRange(requested);
  if (content.type !== 'shared') return required ?? limit ?? 0;
  const needed = content.newMaps.reduce((sum, map) => sum + mapMemoryBytes(map), 0);
  const tooSmall = (field: string, bytes: number) =>
    outOfRange(field, `the maps take ${needed} bytes, and this is ${bytes}; it must be at least ${roundUp(needed)}`);
  if (required !== undefined && needed > required) throw tooSmall('resources.requests.storage', required);
  if (limit !== undefined && needed > limit) throw tooSmall('resources.limits.storage', limit);
  return required ?? needed;
}

/** Whether a volume of this size meets the request. */
export function isWithin(requested: CapacityRange | null, capacityBytes: number): boolean {
  const { required = 0, limit = Number.POSITIVE_INFINITY } = parseRange(requested);
  return capacityBytes >= required && capacityBytes <= limit;
}

function parseRange(requested: CapacityRange | null): Range {
  const { requiredBytes, limitBytes } = requested ?? { requiredBytes: 0, limitBytes: 0 };
  requireExact('resources.requests.storage', requiredBytes);
  requireExact('resources.limits.storage', limitBytes);
  if (requiredBytes < 0) throw invalidArgument('resources.requests.storage', `${requiredBytes} is negative`);
  if (limitBytes < 0) throw invalidArgument('resources.limits.storage', `${limitBytes} is negative`);
  if (limitBytes > 0 && requiredBytes > limitBytes) {
    throw invalidArgument('resources.requests.storage', `${requiredBytes} is more than the limit, ${limitBytes}`);
  }
  return { required: requiredBytes || undefined, limit: limitBytes || undefined };
}

/** A number of 64 bits that is no safe integer was rounded when it was decoded. */
function requireExact(field: string, bytes: number): void {
  if (!Number.isSafeInteger(bytes)) throw invalidArgument(field, `${bytes} is more than any memory has`);
}

/** Rounds up to a size as people write it: 3Mi. */
function roundUp(bytes: number): string {
  const [unit, size] = bytes > 1 << 20 ? (['Mi', 1 << 20] as const) : (['Ki', 1 << 10] as const);
  return `${Math.ceil(bytes / size)}${unit}`;
}
