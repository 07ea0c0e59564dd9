/** A catalog file with the maps map0, map1 …, each pinned on a local node. */
export function catalog(maps: number): string {
  const bpfMap = (map: number) => `\
apiVersion: bpffs.dev/v1alpha1
kind: BpfMap
metadata: { name: map${map} }
spec:
  source: { pinned: { path: "{pins}/map${map}" } }
  maxAccess: ReadWrite
`;
  return Array.from({ length: maps }, (_, map) => bpfMap(map)).join('---\n');
}

/** A grants file that lets every service account read and write every map. */
export const GRANTS = `\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: all-maps }
rules:
- { apiGroups: [bpffs.dev], resources: [bpfmaps], verbs: [read, write] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: all-maps }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: all-maps }
subjects:
- { apiGroup: rbac.authorization.k8s.io, kind: Group, name: "system:serviceaccounts" }
`;
