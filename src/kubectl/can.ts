import type { Access, Right, Verb } from '../access/access.ts';
import { exceedsMaxAccess } from '../access/authorize.ts';
import type { BpfMap } from '../maps/catalog.ts';
import { createLimiter } from '../process/limiter.ts';
import type { Column } from './output.ts';

/** Whether an access is allowed, and by what: the rule that allows it, or what would. */
export interface Allowance {
  readonly allowed: boolean;
  readonly why: string;
}

/** What a service account may do with a BpfMap. */
export interface MapAllowance {
  readonly bpfMap: string;
  readonly read: Allowance;
  readonly write: Allowance;
}

/** Whether a service account may use a BpfDelegation. */
export interface DelegationAllowance {
  readonly bpfDelegation: string;
  readonly use: Allowance;
}

/** A service account. */
export interface Account {
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** Concurrent reviews. */
const MAX_CONCURRENT = 8;

/** Whether an account may `verb` the object with this name. Throws what Access throws. */
export type Ask = (name: string, verb: Right) => Promise<Allowance>;

/** Asks as the driver does for a pod of `account`. */
export function askFor(account: Account, access: Access, signal: AbortSignal): Ask {
  const turns = createLimiter(MAX_CONCURRENT);
  // No pod is needed: grants are for service accounts.
  const pod = { ...account, podName: '', podUid: '' };
  return async (name, verb) => {
    const decision = await turns.run(signal, () => access.check(pod, name, verb, signal));
    return decision.allowed
      ? { allowed: true, why: decision.rule }
      : { allowed: false, why: `no grant: ${decision.remedy}` };
  };
}

/** Throws what `ask` throws. */
export function mapAllowances(maps: readonly BpfMap[], ask: Ask): Promise<readonly MapAllowance[]> {
  const allowance = async (map: BpfMap, verb: Verb): Promise<Allowance> => {
    if (map.source.kind === 'unusable') return { allowed: false, why: map.source.problem };
    if (exceedsMaxAccess(map, verb))
      return { allowed: false, why: `nobody may: its spec.maxAccess is ${map.maxAccess}` };
    return await ask(map.name, verb);
  };
  return Promise.all(
    maps.map(async (map) => {
      const [read, write] = await Promise.all([allowance(map, 'read'), allowance(map, 'write')]);
      return { bpfMap: map.name, read, write };
    }),
  );
}

/** Throws what `ask` throws. `names`: of BpfDelegations. */
export function delegationAllowances(names: readonly string[], ask: Ask): Promise<readonly DelegationAllowance[]> {
  return Promise.all(names.map(async (bpfDelegation) => ({ bpfDelegation, use: await ask(bpfDelegation, 'use') })));
}

export const DELEGATION_COLUMNS: readonly Column<DelegationAllowance>[] = [
  { title: 'DELEGATION', cell: ({ bpfDelegation }) => bpfDelegation },
  { title: 'USE', cell: ({ use }) => (use.allowed ? 'yes' : 'no') },
  { title: 'WHY', cell: ({ use }) => use.why },
];

/** `verb`: the only one that was asked for. */
export function allowanceColumns(verb: Verb | undefined): readonly Column<MapAllowance>[] {
  const verbs: readonly Verb[] = verb === undefined ? ['read', 'write'] : [verb];
  const isWide = verb === undefined;
  return [
    { title: 'MAP', cell: ({ bpfMap }) => bpfMap },
    ...verbs.map(
      (one): Column<MapAllowance> => ({ title: one.toUpperCase(), cell: (row) => (row[one].allowed ? 'yes' : 'no') }),
    ),
    ...verbs.map(
      (one): Column<MapAllowance> => ({
        title: isWide ? `WHY ${one.toUpperCase()}` : 'WHY',
        wide: isWide,
        cell: (row) => row[one].why,
      }),
    ),
  ];
}
