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

/** As the driver decides it for a pod of `account`. Throws what `access` throws. */
export async function allowances(
  account: Account,
  maps: readonly BpfMap[],
  access: Access,
  signal: AbortSignal,
): Promise<readonly MapAllowance[]> {
  const turns = createLimiter(MAX_CONCURRENT);
  const allowance = (map: BpfMap, verb: Verb) =>
    turns.run(signal, () => allowanceOf(account, map, verb, access, signal));
  return await Promise.all(
    maps.map(async (map) => {
      const [read, write] = await Promise.all([allowance(map, 'read'), allowance(map, 'write')]);
      return { bpfMap: map.name, read, write };
    }),
  );
}

/** As `allowances`, for the BpfDelegations with these names. */
export async function delegationAllowances(
  account: Account,
  names: readonly string[],
  access: Access,
  signal: AbortSignal,
): Promise<readonly DelegationAllowance[]> {
  const turns = createLimiter(MAX_CONCURRENT);
  return await Promise.all(
    names.map(async (bpfDelegation) => {
      const use = await turns.run(signal, () => grantOf(account, bpfDelegation, 'use', access, signal));
      return { bpfDelegation, use };
    }),
  );
}

async function allowanceOf(
  account: Account,
  map: BpfMap,
  verb: Verb,
  access: Access,
  signal: AbortSignal,
): Promise<Allowance> {
  if (map.source.kind === 'unusable') return { allowed: false, why: map.source.problem };
  if (exceedsMaxAccess(map, verb)) return { allowed: false, why: `nobody may: its spec.maxAccess is ${map.maxAccess}` };
  return await grantOf(account, map.name, verb, access, signal);
}

async function grantOf(
  account: Account,
  name: string,
  verb: Right,
  access: Access,
  signal: AbortSignal,
): Promise<Allowance> {
  // No pod is needed: grants are for service accounts.
  const decision = await access.check({ ...account, podName: '', podUid: '' }, name, verb, signal);
  return decision.allowed
    ? { allowed: true, why: decision.rule }
    : { allowed: false, why: `no grant: ${decision.remedy}` };
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
