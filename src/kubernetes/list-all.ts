import type { KubernetesClient, ListQuery } from './client.ts';
import type { KubernetesObject, Resource } from './resource.ts';

/** Objects in a page of a list. */
const PAGE = 500;

/** All objects of a list, page by page. Throws an ApiError. */
export async function listAll(
  client: Pick<KubernetesClient, 'list'>,
  resource: Resource,
  selection: Pick<ListQuery, 'namespace' | 'labelSelector'> = {},
): Promise<readonly KubernetesObject[]> {
  const objects: KubernetesObject[] = [];
  let next: string | undefined;
  do {
    const query = { ...selection, limit: PAGE, ...(next !== undefined && { continue: next }) };
    const page = await client.list(resource, query);
    objects.push(...page.items);
    next = page.continue;
  } while (next !== undefined);
  return objects;
}
