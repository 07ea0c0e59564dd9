import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { BEAT_MS, type Beat, leaseOf, parseBeat } from '../access/access-lease.ts';
import { CallError, Code } from '../errors.ts';
import { ApiError, isAbsent } from '../kubernetes/api-error.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import { LEASES, type LeaseKey } from '../kubernetes/lease.ts';
import type { KubernetesObject } from '../kubernetes/resource.ts';
import type { Logger } from '../logger.ts';
import type { FollowedRbac } from './followed-rbac.ts';

/** Publishes the generation of access, see Beat. */
export interface AccessPublisher {
  /** A grant may have changed. */
  changed(): void;
  /** Gives up the Lease, so that another replica takes over at once. */
  close(): Promise<void>;
}

export interface AccessPublisherOptions {
  readonly client: Pick<KubernetesClient, 'get' | 'create' | 'patch'>;
  readonly lease: LeaseKey;
  readonly rbac: Pick<FollowedRbac, 'digest' | 'isFresh'>;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly timing?: Partial<AccessTiming>;
}

interface AccessTiming {
  readonly beatMs: number;
  /** How often a replica that is not the holder looks. */
  readonly lookMs: number;
  /** It takes over after this time without a renewal: before the nodes miss it. */
  readonly takeOverMs: number;
  /** Changes within this time become one. */
  readonly pauseMs: number;
}

const TIMING: AccessTiming = { beatMs: BEAT_MS, lookMs: 5000, takeOverMs: 15_000, pauseMs: 5000 };
const TIMEOUT_MS = 5000;

/**
 * Renews the Lease for as long as it holds it and knows all RBAC objects. One replica holds it: each request names the version of the Lease
 * that it is based on, so that of two only one succeeds. A new holder keeps the generation if the grants are the same.
 */
export function publishAccess({ client, lease, rbac, log, timing }: AccessPublisherOptions): AccessPublisher {
  const { beatMs, lookMs, takeOverMs, pauseMs } = { ...TIMING, ...timing };
  const me = randomUUID();
  const closing = new AbortController();
  const { signal } = closing;
  let waking = new AbortController();
  let isDirty = false;
  /** As it was last written here; undefined: another replica may hold it. */
  let held: KubernetesObject | undefined;
  /** When another's Lease was seen to change. */
  let seen = { resourceVersion: '', at: 0 };
  let failed = '';

  async function read(): Promise<KubernetesObject | undefined> {
    try {
      return await client.get(LEASES, lease, { timeoutMs: TIMEOUT_MS, signal });
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
  }

  function isAnothers(object: KubernetesObject): boolean {
    const { resourceVersion } = object.metadata;
    if (resourceVersion !== seen.resourceVersion) seen = { resourceVersion, at: performance.now() };
    const holder = parseBeat(object)?.holder ?? '';
    return holder !== '' && holder !== me && performance.now() - seen.at < takeOverMs;
  }

  async function turn(): Promise<void> {
    if (!rbac.isFresh()) return;
    const current = held ?? (await read());
    if (held === undefined && current !== undefined && isAnothers(current)) return;
    const before = current && parseBeat(current);
    // A replica that takes over has not seen all changes since the last renewal; the digest says whether the grants are the same.
    const mustChange = isDirty && before?.holder === me;
    isDirty = false;
    try {
      held = await write(current, next(before, rbac.digest(), mustChange));
    } catch (error) {
      isDirty = true;
      throw error;
    }
  }

  /** The Lease that follows `before`. */
  function next(before: Beat | undefined, digest: string, mustChange: boolean): Beat & { readonly isNew: boolean } {
    const [number = '', known] = before?.generation.split('.') ?? [];
    if (before !== undefined && known === digest && !mustChange) return { ...before, holder: me, isNew: false };
    // If the Lease was deleted, its numbers are not known any more; the time is higher than all of them.
    const following = Math.max(Number(number) + 1 || 0, before === undefined ? Date.now() : 1);
    return { generation: `${following}.${digest}`, holder: me, ageMs: 0, isNew: true };
  }

  async function write(
    current: KubernetesObject | undefined,
    beat: Beat & { readonly isNew: boolean },
  ): Promise<KubernetesObject> {
    const now = new Date();
    // The age is that of the generation at its last renewal; since then it is older.
    const since = current === undefined || beat.isNew ? 0 : now.getTime() - renewedAt(current);
    const { metadata, spec } = leaseOf({ ...beat, ageMs: beat.ageMs + since }, now);
    const limits = { timeoutMs: TIMEOUT_MS, signal };
    const written =
      current === undefined
        ? await client.create(LEASES, { kind: 'Lease', metadata: { ...metadata, ...lease }, spec }, limits)
        : await client.patch(
            LEASES,
            lease,
            { metadata: { ...metadata, resourceVersion: current.metadata.resourceVersion }, spec },
            limits,
          );
    if (held === undefined) log.info({ generation: beat.generation }, 'says when grants change');
    return written;
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      waking = new AbortController();
      try {
        await turn();
        failed = '';
      } catch (error) {
        if (signal.aborted) return;
        held = undefined;
        const { code, message } = CallError.from(error);
        const isTaken = error instanceof ApiError && (code === Code.ABORTED || code === Code.ALREADY_EXISTS);
        if (!isTaken && message !== failed) log.warn({ error: message }, 'nodes cannot be told when grants change');
        failed = message;
      }
      await sleep(Math.min(pauseMs, beatMs), undefined, { signal, ref: false }).catch(() => undefined);
      if (isDirty && held !== undefined) continue;
      const restMs = Math.max(0, (held === undefined ? lookMs : beatMs) - pauseMs);
      await sleep(restMs, undefined, { signal: waking.signal, ref: false }).catch(() => undefined);
    }
  }
  const running = run();

  return {
    changed() {
      isDirty = true;
      if (held !== undefined) waking.abort();
    },
    async close() {
      closing.abort();
      waking.abort();
      await running;
      if (held === undefined) return;
      const given = { metadata: { resourceVersion: held.metadata.resourceVersion }, spec: { holderIdentity: '' } };
      await client.patch(LEASES, lease, given, { timeoutMs: 1000 }).catch(() => undefined);
    },
  };
}

function renewedAt(lease: KubernetesObject): number {
  const { renewTime } = lease.spec as { readonly renewTime?: string };
  return Date.parse(renewTime ?? '') || Date.now();
}
