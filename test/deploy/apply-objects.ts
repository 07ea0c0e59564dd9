import type { ApiServer } from '../apiserver/api-server.ts';

/** Applies objects of any kind as `kubectl apply --server-side` does; unknown fields are errors. */
export async function applyObjects(api: ApiServer, objects: readonly object[], ...flags: string[]): Promise<void> {
  const list = { apiVersion: 'v1', kind: 'List', items: objects };
  await api.kubectl(['apply', '--server-side', '--validate=strict', '--filename=-', ...flags], JSON.stringify(list));
}
