import { exceedsMaxAccess } from '../access/authorize.ts';
import { CallError, Code, notFound } from '../errors.ts';
import type { Call } from '../rpc/adapter.ts';
import { VolumeHealthErrorType as Status, type VolumeHealth } from '../rpc/csi.ts';
import { type DescribeVolumeResponse, Access as MapAccess, type VolumeMap } from '../rpc/pinner.ts';
import { quote, statusText } from '../text.ts';
import { idOfMap, idOfSource } from './present-map.ts';
import type { PublishParts } from './publish-parts.ts';
import { toSharedMaps } from './publish-persistent.ts';
import type { DelegationRequest, MapsRequest, PublishRequest } from './publish-request.ts';

/** CSI's `reason`, and the volume's status for it. */
const STATUS = {
  MapReplaced: Status.DEGRADED,
  MapSourceMissing: Status.DEGRADED,
  MapAccessRevoked: Status.DEGRADED,
  MapDeleted: Status.DEGRADED,
  DelegationRevoked: Status.DEGRADED,
  PinMissing: Status.INACCESSIBLE,
} as const;

/** A problem; `message` is one sentence. */
interface Finding {
  readonly reason: keyof typeof STATUS;
  readonly message: string;
}

/**
 * Compares a volume with the request for it: are its pins there, are they still the maps of their sources, may the pod still have them? An
 * empty `targetPath` stands for all targets of the volume. Throws NOT_FOUND if it is not published here. After a restart, until the kubelet
 * repeats its request, only what the kernel shows is reported.
 */
export async function volumeHealth(
  { volumeId, targetPath }: { readonly volumeId: string; readonly targetPath: string },
  parts: PublishParts,
  call: Call,
): Promise<VolumeHealth> {
  const targets = targetPath === '' ? await targetsOf(volumeId, parts, call) : [targetPath];
  const messages = new Map<Finding['reason'], Set<string>>();
  for (const target of targets) {
    const volume = await parts.pinner.describeVolume({ volumeId, targetPath: target }, call);
    const request = parts.published.at(target)?.request;
    const found = request?.volumeId === volumeId ? await inspect(request, volume, parts, call) : [];
    for (const { reason, message } of [...generations(volume), ...found]) {
      messages.set(reason, (messages.get(reason) ?? new Set()).add(message));
    }
  }
  return {
    volumeId,
    healthStatuses: [...messages].map(([reason, texts]) => ({
      status: STATUS[reason],
      reason,
      message: statusText([...texts].join('; ')),
    })),
  };
}

async function targetsOf(volumeId: string, { pinner }: PublishParts, call: Call): Promise<readonly string[]> {
  const { volumes } = await pinner.listVolumes(call);
  const targets = volumes.filter((volume) => volume.volumeId === volumeId).map(({ targetPath }) => targetPath);
  if (targets.length === 0) throw notFound(`volume ${quote(volumeId)} is not published on this node`);
  return targets;
}

function generations({ generations }: DescribeVolumeResponse): readonly Finding[] {
  const message = 'a container without mountPropagation: HostToContainer keeps the maps of before until it restarts';
  return generations > 1 ? [{ reason: 'MapReplaced', message }] : [];
}

async function inspect(
  request: PublishRequest,
  volume: DescribeVolumeResponse,
  parts: PublishParts,
  call: Call,
): Promise<readonly Finding[]> {
  if (request.type === 'maps') return await inspectMaps(request, volume, parts, call);
  if (request.type === 'delegation') return await inspectDelegation(request, parts, call);
  const content = (await parts.policy.volumes?.get(request.volumeId))?.spec.content;
  // A workspace may contain whatever its pods pin.
  if (content?.type !== 'shared') return [];
  const files = toSharedMaps(request.volumeId, content.newMaps, MapAccess.READ_ONLY);
  const found = files.map((file) => inspectFile(file, volume, () => idOfSource(file.source, parts.pinner, call)));
  return (await Promise.all(found)).flat();
}

async function inspectDelegation(
  { delegation, pod }: DelegationRequest,
  { policy }: PublishParts,
  call: Call,
): Promise<readonly Finding[]> {
  if ((await policy.access.check(pod, delegation, 'use', call.signal)).allowed) return [];
  const message = `use of delegation "${delegation}" is not granted any more; its token works until the pod ends`;
  return [{ reason: 'DelegationRevoked', message }];
}

async function inspectMaps(
  { maps, pod }: MapsRequest,
  volume: DescribeVolumeResponse,
  parts: PublishParts,
  call: Call,
): Promise<readonly Finding[]> {
  const found = maps.map(async ({ name, verb }): Promise<readonly Finding[]> => {
    const map = parts.policy.catalog.find(name);
    if (map === undefined) return [{ reason: 'MapDeleted', message: `there is no BpfMap "${name}" any more` }];
    const findings: Finding[] = [];
    if (exceedsMaxAccess(map, verb)) {
      findings.push({ reason: 'MapAccessRevoked', message: `"${name}" is ${map.maxAccess} for everybody now` });
    } else if (!(await parts.policy.access.check(pod, name, verb, call.signal)).allowed) {
      findings.push({ reason: 'MapAccessRevoked', message: `${verb} of "${name}" is not granted any more` });
    }
    const isGone = findings.length > 0 && !volume.files.some(({ path }) => path === map.fileName);
    return isGone ? findings : [...findings, ...(await inspectFile(map, volume, () => idOfMap(map, parts, call)))];
  });
  return (await Promise.all(found)).flat();
}

/** `present`: looks up the id of the map that is at the file's source now. */
async function inspectFile(
  { name, fileName }: Pick<VolumeMap, 'name' | 'fileName'>,
  { files }: DescribeVolumeResponse,
  present: () => Promise<number | undefined>,
): Promise<readonly Finding[]> {
  const file = files.find(({ path }) => path === fileName);
  if (file === undefined) return [{ reason: 'PinMissing', message: `"${fileName}" is not in the volume` }];
  try {
    const id = await present();
    if (id === file.map?.id) return [];
    const message = `"${name}" is map ${id} at its source, and ${file.map?.id} in the volume`;
    return [{ reason: 'MapReplaced', message }];
  } catch (error) {
    return [missingSource(name, error)];
  }
}

/** Throws errors that are not about the source. */
function missingSource(name: string, error: unknown): Finding {
  const { code, message } = CallError.from(error);
  if (code !== Code.UNAVAILABLE && code !== Code.FAILED_PRECONDITION) throw error;
  return { reason: 'MapSourceMissing', message: `"${name}": ${message}` };
}
