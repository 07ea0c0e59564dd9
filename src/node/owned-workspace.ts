import { isDeepStrictEqual } from 'node:util';
import { failedPrecondition, unavailable } from '../errors.ts';
import { claimName } from '../kubernetes/claim.ts';
import type { BpfMap, OwnedWorkspaceSource } from '../maps/catalog.ts';
import { ownerText, type WorkspaceOwner } from '../maps/workspace-owner.ts';
import type { Source } from '../rpc/pinner.ts';
import { claimOf, type Volume, type VolumeOwner } from '../volumes/volume.ts';
import type { VolumeReader } from '../volumes/volume-store.ts';
import { volumeInUse } from './volume-in-use.ts';

/** Where such a source is looked up: this node's volumes, and those that pods have used here. */
export interface OwnedWorkspaceParts {
  readonly nodeId: string;
  readonly volumes: Pick<VolumeReader, 'list'> | undefined;
  kept(): Promise<readonly string[]>;
  /** Whether volumes say whose they are, which only a cluster's controller can find out. */
  readonly knowsOwners: boolean;
}

/** Workspaces that an error names, if the one that was meant is not there. */
const MAX_NAMED = 2;

/**
 * The map in the workspace of the owner's pod on this node. If the owner has several pods here, as while it is rolled out, it is the newest
 * workspace that a pod has mounted. Throws UNAVAILABLE while there is none.
 */
export async function ownedWorkspaceMap(
  { name }: BpfMap,
  { owner, volume, path }: OwnedWorkspaceSource,
  { nodeId, volumes, kept, knowsOwners }: OwnedWorkspaceParts,
): Promise<Source> {
  const wanted = ownerText(owner, volume);
  if (volumes === undefined || !knowsOwners) {
    throw failedPrecondition(
      `map "${name}": ${wanted}: whose a workspace is, is only known in clusters (--cluster); name its claim in source.workspace.claim`,
    );
  }
  const { volumes: all, damaged } = await volumes.list();
  const here = all.filter((each) => each.spec.nodeName === nodeId && isCurrent(each, owner.namespace));
  const found = await volumeInUse(
    here.filter(({ spec }) => isOf(spec.owner, owner, volume)),
    kept,
  );
  if (found !== undefined) {
    const claim = claimOf(found);
    return { workspace: { volumeId: found.id, path, claim: claim === undefined ? '' : claimName(claim) } };
  }
  const others = [...new Set(here.flatMap(hintOf)), ...damaged];
  const hints = others.sort((a, b) => Number(b.includes(owner.name)) - Number(a.includes(owner.name)));
  const there = hints.length === 0 ? '' : `; what is there: ${hints.slice(0, MAX_NAMED).join('; ')}`;
  throw unavailable(
    `map "${name}": there is no workspace on node ${nodeId} that is ${wanted}; start a pod of it here, with this volume as a generic ephemeral one${there}`,
  );
}

/** Whether it is a workspace of a claim that exists in the namespace, and is still the one for which the owner was found. */
function isCurrent({ spec, binding }: Volume, namespace: string): boolean {
  if (spec.content.type !== 'workspace' || spec.claim?.namespace !== namespace) return false;
  return binding === undefined || (binding.phase === 'Bound' && isDeepStrictEqual(binding.claim, spec.claim));
}

function isOf(owner: VolumeOwner | undefined, { kind, name }: WorkspaceOwner, volume: string): boolean {
  if (owner?.volume !== volume) return false;
  if (kind === 'ServiceAccount') return owner.serviceAccount === name;
  return owner.workload?.kind === kind && owner.workload.name === name;
}

/** What may have been meant: whose the workspace is, or why nobody knows. */
function hintOf({ spec: { claim, owner, ownerProblem } }: Volume): readonly string[] {
  if (ownerProblem !== undefined) return [ownerProblem];
  if (owner?.workload === undefined || claim === undefined) return [];
  const { kind, name } = owner.workload;
  const { namespace } = claim;
  const account = ownerText({ kind: 'ServiceAccount', namespace, name: owner.serviceAccount }, owner.volume);
  return [`${ownerText({ kind, namespace, name }, owner.volume)}, which is ${account}`];
}
