/** How many requests there were, by kind. */
export type Requests = Readonly<Record<Kind, number>>;

export const KINDS = ['lists', 'watches', 'SubjectAccessReviews', 'TokenReviews', 'Events', 'renewals'] as const;
type Kind = (typeof KINDS)[number];

/** What the driver lists and watches. */
const FOLLOWED = ['bpfmaps', 'bpfvolumes', 'csidrivers', 'leases'];

/**
 * The driver's requests so far, from the metrics of an API server that has no other clients. A watch counts from when it begins; in
 * apiserver_request_total it counts when it ends. `renewals`: writes of the controller's Lease; those of the API server's own are updates.
 */
export function parseRequests(metrics: string): Requests {
  const counts = Object.fromEntries(KINDS.map((kind) => [kind, 0])) as Record<Kind, number>;
  for (const [, labels = '', value] of metrics.matchAll(
    /^(?:apiserver_request_total|apiserver_longrunning_requests)\{(.*)\} (\S+)$/gm,
  )) {
    const label = (name: string) => new RegExp(`(?:^|,)${name}="([^"]*)"`).exec(labels)?.[1] ?? '';
    const verb = label('verb');
    const kind = kindOf(verb, label('resource'));
    if (kind !== undefined) counts[kind] += Number(value);
  }
  return counts;
}

function kindOf(verb: string, resource: string): Kind | undefined {
  if (resource === 'subjectaccessreviews') return 'SubjectAccessReviews';
  if (resource === 'tokenreviews') return 'TokenReviews';
  if (resource === 'events' && (verb === 'POST' || verb === 'PATCH')) return 'Events';
  if (resource === 'leases' && verb === 'PATCH') return 'renewals';
  if (!FOLLOWED.includes(resource)) return undefined;
  if (verb === 'LIST') return 'lists';
  return verb === 'WATCH' ? 'watches' : undefined;
}

/** The requests between two moments. A watch that was open at the first one and ended before the second is no request. */
export function requestsBetween(before: Requests, after: Requests): Requests {
  return Object.fromEntries(KINDS.map((kind) => [kind, after[kind] - before[kind]])) as Requests;
}

/** The requests of nodes: all but the controller's renewals. */
export function requestsOfNodes(requests: Requests): number {
  return KINDS.reduce((sum, kind) => sum + (kind === 'renewals' ? 0 : requests[kind]), 0);
}
