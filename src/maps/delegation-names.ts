/**
 * What a BPF token can be limited to, by the kernel's names (include/uapi/linux/bpf.h) in lower case without their prefix. The kernel
 * refuses everything that is not delegated. `within`: a program of this kind sees and changes only what its pod could have anyway: its
 * network interfaces, sockets and cgroups. `beyond`: it reads memory of the whole node, or changes what others do.
 */
export interface DelegationNames {
  readonly within: readonly string[];
  readonly beyond: readonly string[];
}

/** Those of bpf(2) for which a kernel asks the token, and all that open what others have made, by its id. */
const commands = {
  within: ['map_create', 'prog_load', 'btf_load'],
  beyond: [
    'prog_get_next_id',
    'map_get_next_id',
    'btf_get_next_id',
    'link_get_next_id',
    'prog_get_fd_by_id',
    'map_get_fd_by_id',
    'btf_get_fd_by_id',
    'link_get_fd_by_id',
  ],
} as const satisfies DelegationNames;

const mapTypes = {
  within: [
    'hash',
    'array',
    'prog_array',
    'perf_event_array',
    'percpu_hash',
    'percpu_array',
    'stack_trace',
    'cgroup_array',
    'lru_hash',
    'lru_percpu_hash',
    'lpm_trie',
    'array_of_maps',
    'hash_of_maps',
    'devmap',
    'sockmap',
    'cpumap',
    'xskmap',
    'sockhash',
    'cgroup_storage',
    'reuseport_sockarray',
    'percpu_cgroup_storage',
    'queue',
    'stack',
    'sk_storage',
    'devmap_hash',
    'ringbuf',
    'inode_storage',
    'task_storage',
    'bloom_filter',
    'user_ringbuf',
    'cgrp_storage',
    'arena',
  ],
  beyond: ['struct_ops'],
} as const satisfies DelegationNames;

const programTypes = {
  within: [
    'socket_filter',
    'sched_cls',
    'sched_act',
    'xdp',
    'cgroup_skb',
    'cgroup_sock',
    'lwt_in',
    'lwt_out',
    'lwt_xmit',
    'sock_ops',
    'sk_skb',
    'cgroup_device',
    'sk_msg',
    'cgroup_sock_addr',
    'lwt_seg6local',
    'sk_reuseport',
    'flow_dissector',
    'cgroup_sysctl',
    'cgroup_sockopt',
    'sk_lookup',
    'netfilter',
  ],
  beyond: [
    'kprobe',
    'tracepoint',
    'perf_event',
    'raw_tracepoint',
    'lirc_mode2',
    'raw_tracepoint_writable',
    'tracing',
    'struct_ops',
    'ext',
    'lsm',
    'syscall',
  ],
} as const satisfies DelegationNames;

/** The kernel's number 0, cgroup_inet_ingress, is also what a program has that names none: of sched_cls, socket_filter and others. */
const attachTypes = {
  within: [
    'cgroup_inet_ingress',
    'cgroup_inet_egress',
    'cgroup_inet_sock_create',
    'cgroup_sock_ops',
    'sk_skb_stream_parser',
    'sk_skb_stream_verdict',
    'cgroup_device',
    'sk_msg_verdict',
    'cgroup_inet4_bind',
    'cgroup_inet6_bind',
    'cgroup_inet4_connect',
    'cgroup_inet6_connect',
    'cgroup_inet4_post_bind',
    'cgroup_inet6_post_bind',
    'cgroup_udp4_sendmsg',
    'cgroup_udp6_sendmsg',
    'flow_dissector',
    'cgroup_sysctl',
    'cgroup_udp4_recvmsg',
    'cgroup_udp6_recvmsg',
    'cgroup_getsockopt',
    'cgroup_setsockopt',
    'cgroup_inet4_getpeername',
    'cgroup_inet6_getpeername',
    'cgroup_inet4_getsockname',
    'cgroup_inet6_getsockname',
    'xdp_devmap',
    'cgroup_inet_sock_release',
    'xdp_cpumap',
    'sk_lookup',
    'xdp',
    'sk_skb_verdict',
    'sk_reuseport_select',
    'sk_reuseport_select_or_migrate',
    'netfilter',
    'tcx_ingress',
    'tcx_egress',
    'cgroup_unix_connect',
    'cgroup_unix_sendmsg',
    'cgroup_unix_recvmsg',
    'cgroup_unix_getpeername',
    'cgroup_unix_getsockname',
    'netkit_primary',
    'netkit_peer',
  ],
  beyond: [
    'lirc_mode2',
    'trace_raw_tp',
    'trace_fentry',
    'trace_fexit',
    'modify_return',
    'lsm_mac',
    'trace_iter',
    'perf_event',
    'trace_kprobe_multi',
    'lsm_cgroup',
    'struct_ops',
    'trace_uprobe_multi',
    'trace_kprobe_session',
    'trace_uprobe_session',
  ],
} as const satisfies DelegationNames;

/** By the field of a BpfDelegation. The CustomResourceDefinition has the same names; test/apiserver/crds.test.ts compares them. */
export const DELEGATION_NAMES = { commands, mapTypes, programTypes, attachTypes } as const;

export type DelegationField = keyof typeof DELEGATION_NAMES;

export const DELEGATION_FIELDS = Object.keys(DELEGATION_NAMES) as DelegationField[];
