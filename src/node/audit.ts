import { LRUCache } from 'lru-cache';
import type { Logger } from '../logger.ts';
import {
  type FileChange,
  FileChange_Kind as Kind,
  Access as MapAccess,
  PublishVolumeResponse_Outcome as Outcomes,
} from '../rpc/pinner.ts';
import type { PublishOutcome } from './publish-outcome.ts';
import type { DelegationRequest, PublishRequest } from './publish-request.ts';
import type { RefusedDelegation } from './refused-delegation.ts';
import type { RefusedMap } from './refused-map.ts';

/**
 * Writes to the log which pod got which maps or delegation, and by which rule: a line with the message "audit" for each volume that a pod gets
 * ("allowed"), each change of a running pod's volume ("changed"), and each refusal of a new pod ("denied").
 */
export interface Audit {
  /** Writes nothing about a volume that did not change. */
  published(request: PublishRequest, outcome: PublishOutcome): void;
  /** A new pod gets no volume because of these maps. A repetition within `sameWithinMs` is not written. */
  refused(request: PublishRequest, refused: readonly RefusedMap[]): void;
  /** As `refused`, because of the delegation. */
  refusedDelegation(request: DelegationRequest, refused: RefusedDelegation): void;
}

export interface AuditOptions {
  readonly nodeId: string;
  readonly log: Pick<Logger, 'info'>;
  /** Default: 10 min. */
  readonly sameWithinMs?: number;
}

const SAME_WITHIN_MS = 600_000;
/** Refusals that are remembered, not to be repeated: more than a node has pods. */
const MAX_REMEMBERED = 1024;
/** Maps, and changes, that a line names; the others are counted. */
const MAX_NAMED = 16;
/** Characters of the reason of a refusal. */
const MAX_WHY_LENGTH = 200;

const CHANGES: Readonly<Partial<Record<FileChange['kind'], string>>> = {
  [Kind.MAP_REPLACED]: 'replaced',
  [Kind.ADDED]: 'added',
  [Kind.REMOVED]: 'removed',
  [Kind.MADE_WRITABLE]: 'madeWritable',
  [Kind.MADE_READ_ONLY]: 'madeReadOnly',
};

export function createAudit({ nodeId, log, sameWithinMs = SAME_WITHIN_MS }: AuditOptions): Audit {
  const recent = new LRUCache<string, true>({ max: MAX_REMEMBERED, ttl: sameWithinMs });

  const write = (decision: string, { pod, volumeId, type }: PublishRequest, fields: object) =>
    log.info(
      {
        decision,
        ...(pod !== undefined && { pod: `${pod.namespace}/${pod.podName}`, serviceAccount: pod.serviceAccount }),
        node: nodeId,
        volumeId,
        type,
        ...fields,
      },
      'audit',
    );

  const writeDenied = (request: PublishRequest, key: string, fields: object) => {
    if (recent.has(key)) return;
    recent.set(key, true);
    write('denied', request, fields);
  };

  return {
    published(request, { outcome, given, rules, changes, delegation }) {
      if (outcome !== Outcomes.CREATED && changes.length === 0) return;
      if (request.type === 'delegation') {
        const { delegation: bpfDelegation } = request;
        write('allowed', request, { bpfDelegation, rule: rules.get(bpfDelegation), delegated: delegation });
        return;
      }
      const maps = given.map(({ name, mapId, access }) => ({
        bpfMap: name,
        verb: access === MapAccess.READ_WRITE ? 'write' : 'read',
        id: mapId,
        ...(rules.has(name) && { rule: rules.get(name) }),
      }));
      const changed = changes.map(({ path, kind }) => ({ file: path, change: CHANGES[kind] ?? 'unknown' }));
      const decision = outcome === Outcomes.CREATED ? 'allowed' : 'changed';
      write(decision, request, { ...named('maps', maps), ...(changed.length > 0 && named('changes', changed)) });
    },

    refused(request, refused) {
      const maps = refused.map(({ bpfMap, verb, cause, message }) => ({
        bpfMap,
        verb,
        reason: cause,
        why: message.slice(0, MAX_WHY_LENGTH),
      }));
      const fields = named('maps', maps);
      // The messages may differ each time: denials name maps in the order of the answers.
      const key = JSON.stringify([
        request.pod?.podUid,
        request.volumeId,
        refused.slice(0, MAX_NAMED).map(({ bpfMap, verb, cause }) => [bpfMap, verb, cause]),
        refused.length,
      ]);
      writeDenied(request, key, fields);
    },

    refusedDelegation(request, { bpfDelegation, cause: reason, message }) {
      const key = JSON.stringify([request.pod.podUid, request.volumeId, bpfDelegation, reason]);
      writeDenied(request, key, { bpfDelegation, reason, why: message.slice(0, MAX_WHY_LENGTH) });
    },
  };
}

/** The first items, and under another key how many more there are. */
function named(key: string, items: readonly object[]): object {
  const more = items.length - MAX_NAMED;
  return { [key]: items.slice(0, MAX_NAMED), ...(more > 0 && { [`${key}More`]: more }) };
}
