import { Command, InvalidArgumentError, Option } from 'commander';
import type { Right } from '../access/access.ts';
import { createClusterAccess } from '../access/cluster-access.ts';
import type { NodeReport } from '../inspection/reports.ts';
import { noSuchDelegation } from '../maps/bpf-delegation.ts';
import { noSuchMap } from '../maps/no-such-map.ts';
import { isForbidden } from './ask-nodes.ts';
import { listBpfMaps, listDelegationNames } from './bpf-maps.ts';
import {
  type Account,
  type Ask,
  allowanceColumns,
  askFor,
  DELEGATION_COLUMNS,
  delegationAllowances,
  mapAllowances,
} from './can.ts';
import { byTime, type Denial, denialColumns, denialsOf } from './denials.ts';
import { checkColumns, createCheckup } from './doctor.ts';
import { checked, duration, withFlags } from './flags.ts';
import { rolloutCheck, versionCheck } from './rollout.ts';
import { run } from './run.ts';
import type { Session } from './session.ts';
import { type NodeStatus, statusColumns, statusOf } from './status.ts';
import { createMemorySum, MEMORY_COLUMNS } from './top.ts';
import { byPod, type MapUser, userColumns, usersOf } from './who.ts';

/** `kubectl bpffs who MAP` */
export function whoCommand(): Command {
  return withFlags(new Command('who'))
    .summary('which pods use a map')
    .description('which pods use a BpfMap: how, on which node, since when, and whether it is the current map')
    .argument('<map>', 'the name of a BpfMap')
    .action(async (map: string, parsed) => {
      const flags = checked(parsed);
      await run(flags, async (session) => {
        await requireBpfMap(session, map);
        const items: MapUser[] = [];
        const { unanswered } = await session.ask(['volumes'], ({ volumes }) => {
          items.push(...usersOf(map, flags.namespace, volumes));
        });
        return { items: byPod(items), columns: userColumns(Date.now()), none: `no pod uses BpfMap ${map}`, unanswered };
      });
    });
}

/** Throws NOT_FOUND if there is no such BpfMap. Throws nothing if the caller may not list BpfMaps. */
async function requireBpfMap({ client }: Session, name: string): Promise<void> {
  try {
    const names = (await listBpfMaps(client)).map((map) => map.name);
    if (!names.includes(name)) throw noSuchMap(name, names);
  } catch (error) {
    // Whoever may ask the nodes need not be allowed to list BpfMaps.
    if (!isForbidden(error)) throw error;
  }
}

/** `kubectl bpffs can NAMESPACE/SERVICEACCOUNT [read|write MAP]`, and `… use [DELEGATION]` */
export function canCommand(): Command {
  return withFlags(new Command('can'))
    .summary('what a service account may have')
    .description(
      'which BpfMaps a service account may read and write, and why (-o wide); with use, which BpfDelegations it may use; ' +
        'or whether it may do one thing',
    )
    .argument('<account>', 'a service account: NAMESPACE/NAME, or NAME', parseAccount)
    .argument('[verb]', 'read, write or use', parseVerb)
    .argument('[object]', 'the name of a BpfMap, or of a BpfDelegation to use')
    .action(async (account: Partial<Account>, verb: Right | undefined, name: string | undefined, parsed) => {
      const flags = checked(parsed);
      const asking = ({ client, namespace }: Session) => {
        const who = { serviceAccount: '', namespace: flags.namespace ?? namespace, ...account };
        return askFor(who, createClusterAccess({ client }), AbortSignal.timeout(60_000));
      };
      if (verb === 'use') {
        await run(flags, (session) => canUse(session, name, asking(session)));
        return;
      }
      await run(flags, async (session) => {
        const all = await listBpfMaps(session.client);
        const names = all.map(({ name }) => name);
        const maps = name === undefined ? all : all.filter((map) => map.name === name);
        if (name !== undefined && maps.length === 0) throw noSuchMap(name, names);
        const items = await mapAllowances(maps, asking(session));
        if (verb !== undefined && !items.every((one) => one[verb].allowed)) process.exitCode = 1;
        return { items, columns: allowanceColumns(verb), none: 'there is no BpfMap', unanswered: [] };
      });
    });
}

async function canUse({ client }: Session, name: string | undefined, ask: Ask) {
  const all = await listDelegationNames(client);
  const names = name === undefined ? all : all.filter((one) => one === name);
  if (name !== undefined && names.length === 0) throw noSuchDelegation(name, all);
  const items = await delegationAllowances(names, ask);
  if (!items.every(({ use }) => use.allowed)) process.exitCode = 1;
  return { items, columns: DELEGATION_COLUMNS, none: 'there is no BpfDelegation', unanswered: [] };
}

function parseAccount(value: string): Partial<Account> {
  const [, namespace, serviceAccount = ''] = /^(?:([a-z0-9-]+)\/)?([a-z0-9.-]+)$/.exec(value) ?? [];
  if (serviceAccount === '') throw new InvalidArgumentError('It must be NAMESPACE/NAME or NAME.');
  return { serviceAccount, ...(namespace !== undefined && { namespace }) };
}

function parseVerb(value: string): Right {
  if (value !== 'read' && value !== 'write' && value !== 'use') {
    throw new InvalidArgumentError('It must be read, write or use.');
  }
  return value;
}

/** `kubectl bpffs status` */
export function statusCommand(): Command {
  return withFlags(new Command('status'))
    .summary('how every node is')
    .description('how the driver is on every node: versions, volumes, maps, kernel memory, problems (-o wide)')
    .action(async (parsed) => {
      await run(checked(parsed), async (session) => {
        const items: NodeStatus[] = [];
        const { unanswered } = await session.ask(['node', 'volumes'], (reports) => void items.push(statusOf(reports)));
        items.sort((a, b) => (a.node < b.node ? -1 : 1));
        return { items, columns: statusColumns(Date.now()), none: 'no node has answered', unanswered };
      });
    });
}

/** `kubectl bpffs denials --since 1h` */
export function denialsCommand(): Command {
  return withFlags(new Command('denials'))
    .summary('who was refused lately')
    .description(
      'which maps and delegations were refused to which service accounts lately, the latest first; why with -o wide',
    )
    .addOption(
      new Option('--since <duration>', 'how far back: 90s, 15m, 1h, 2d').argParser(duration).default(3_600_000, '1h'),
    )
    .action(async ({ since, ...parsed }) => {
      const flags = checked(parsed);
      await run(flags, async (session) => {
        const now = Date.now();
        const items: Denial[] = [];
        const { unanswered } = await session.ask(['denials'], ({ denials }) => {
          items.push(...denialsOf(denials, now - since, flags.namespace));
        });
        return { items: byTime(items), columns: denialColumns(now), none: 'nothing was refused', unanswered };
      });
    });
}

/** `kubectl bpffs top` */
export function topCommand(): Command {
  return withFlags(new Command('top'))
    .summary('kernel memory by map and namespace')
    .description('kernel memory by map and namespace, the largest first')
    .action(async (parsed) => {
      const flags = checked(parsed);
      await run(flags, async (session) => {
        const sum = createMemorySum();
        const { unanswered } = await session.ask(['volumes'], ({ volumes }) => sum.add(volumes));
        const items = sum
          .rows()
          .filter(({ namespace }) => flags.namespace === undefined || namespace === flags.namespace);
        return { items, columns: MEMORY_COLUMNS, none: 'no pod has a map', unanswered };
      });
    });
}

/** `kubectl bpffs doctor` */
export function doctorCommand(): Command {
  return withFlags(new Command('doctor'))
    .summary('check what every node can do')
    .description('check what every node can do, and say what to do where it cannot; equal results of nodes are one row')
    .action(async (parsed) => {
      const flags = checked(parsed);
      await run(flags, async (session) => {
        const checkup = createCheckup();
        const reports: Pick<NodeReport, 'version' | 'pinner'>[] = [];
        const { asked, unanswered } = await session.ask(['node'], ({ node }) => {
          checkup.add(node);
          reports.push({ version: node.version, pinner: node.pinner });
        });
        const rollout = await rolloutCheck(session.client, flags.driverNamespace);
        const cluster = [rollout, versionCheck(reports)].map((check) => ({ ...check, nodes: [] }));
        const items = [...cluster, ...checkup.results()];
        if (items.some(({ state }) => state === 'fail')) process.exitCode = 1;
        return { items, columns: checkColumns(asked), none: 'no node has answered', unanswered };
      });
    });
}
