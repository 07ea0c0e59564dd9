//! The kernel's names of what can be delegated, by number: lower case, without prefix. `include/uapi/linux/bpf.h`

use crate::map_type;

/// `enum bpf_cmd`.
#[rustfmt::skip]
const COMMANDS: &[&str] = &[
    "map_create", "map_lookup_elem", "map_update_elem", "map_delete_elem", "map_get_next_key", "prog_load", "obj_pin",
    "obj_get", "prog_attach", "prog_detach", "prog_test_run", "prog_get_next_id", "map_get_next_id", "prog_get_fd_by_id",
    "map_get_fd_by_id", "obj_get_info_by_fd", "prog_query", "raw_tracepoint_open", "btf_load", "btf_get_fd_by_id",
    "task_fd_query", "map_lookup_and_delete_elem", "map_freeze", "btf_get_next_id", "map_lookup_batch",
    "map_lookup_and_delete_batch", "map_update_batch", "map_delete_batch", "link_create", "link_update",
    "link_get_fd_by_id", "link_get_next_id", "enable_stats", "iter_create", "link_detach", "prog_bind_map",
    "token_create", "prog_stream_read_by_fd",
];

/// `enum bpf_prog_type`, from 1.
#[rustfmt::skip]
const PROGRAM_TYPES: &[&str] = &[
    "socket_filter", "kprobe", "sched_cls", "sched_act", "tracepoint", "xdp", "perf_event", "cgroup_skb", "cgroup_sock",
    "lwt_in", "lwt_out", "lwt_xmit", "sock_ops", "sk_skb", "cgroup_device", "sk_msg", "raw_tracepoint",
    "cgroup_sock_addr", "lwt_seg6local", "lirc_mode2", "sk_reuseport", "flow_dissector", "cgroup_sysctl",
    "raw_tracepoint_writable", "cgroup_sockopt", "tracing", "struct_ops", "ext", "lsm", "sk_lookup", "syscall",
    "netfilter",
];

/// `enum bpf_attach_type`.
#[rustfmt::skip]
const ATTACH_TYPES: &[&str] = &[
    "cgroup_inet_ingress", "cgroup_inet_egress", "cgroup_inet_sock_create", "cgroup_sock_ops", "sk_skb_stream_parser",
    "sk_skb_stream_verdict", "cgroup_device", "sk_msg_verdict", "cgroup_inet4_bind", "cgroup_inet6_bind",
    "cgroup_inet4_connect", "cgroup_inet6_connect", "cgroup_inet4_post_bind", "cgroup_inet6_post_bind",
    "cgroup_udp4_sendmsg", "cgroup_udp6_sendmsg", "lirc_mode2", "flow_dissector", "cgroup_sysctl",
    "cgroup_udp4_recvmsg", "cgroup_udp6_recvmsg", "cgroup_getsockopt", "cgroup_setsockopt", "trace_raw_tp",
    "trace_fentry", "trace_fexit", "modify_return", "lsm_mac", "trace_iter", "cgroup_inet4_getpeername",
    "cgroup_inet6_getpeername", "cgroup_inet4_getsockname", "cgroup_inet6_getsockname", "xdp_devmap",
    "cgroup_inet_sock_release", "xdp_cpumap", "sk_lookup", "xdp", "sk_skb_verdict", "sk_reuseport_select",
    "sk_reuseport_select_or_migrate", "perf_event", "trace_kprobe_multi", "lsm_cgroup", "struct_ops", "netfilter",
    "tcx_ingress", "tcx_egress", "trace_uprobe_multi", "cgroup_unix_connect", "cgroup_unix_sendmsg",
    "cgroup_unix_recvmsg", "cgroup_unix_getpeername", "cgroup_unix_getsockname", "netkit_primary", "netkit_peer",
    "trace_kprobe_session", "trace_uprobe_session",
];

/// A kind of thing that can be delegated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Commands of `bpf(2)`.
    Commands,
    /// Types of maps.
    MapTypes,
    /// Types of programs.
    ProgramTypes,
    /// Types of attachment.
    AttachTypes,
}

impl Table {
    /// The name of a number; `None` if this version does not know it.
    #[must_use]
    pub fn name(self, number: u32) -> Option<&'static str> {
        let at = |names: &[&'static str], first: u32| names.get(number.checked_sub(first)? as usize).copied();
        match self {
            Self::Commands => at(COMMANDS, 0),
            Self::MapTypes => map_type::known_name(number),
            Self::ProgramTypes => at(PROGRAM_TYPES, 1),
            Self::AttachTypes => at(ATTACH_TYPES, 0),
        }
    }

    /// The number of a name.
    #[must_use]
    pub fn number(self, name: &str) -> Option<u32> {
        (0..u64::BITS).find(|&number| self.name(number) == Some(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_kernels() {
        for (table, name, number) in [
            (Table::Commands, "map_create", 0),
            (Table::Commands, "btf_load", 18),
            (Table::Commands, "link_create", 28),
            (Table::Commands, "token_create", 36),
            (Table::MapTypes, "hash", 1),
            (Table::MapTypes, "arena", 33),
            (Table::ProgramTypes, "socket_filter", 1),
            (Table::ProgramTypes, "xdp", 6),
            (Table::ProgramTypes, "struct_ops", 27),
            (Table::ProgramTypes, "netfilter", 32),
            (Table::AttachTypes, "xdp", 37),
            (Table::AttachTypes, "tcx_ingress", 46),
            (Table::AttachTypes, "trace_uprobe_session", 57),
        ] {
            assert_eq!(table.number(name), Some(number), "{name}");
            assert_eq!(table.name(number), Some(name));
        }
    }

    #[test]
    fn what_is_no_name() {
        for name in ["", "any", "XDP", "BPF_XDP", "unspec", "0x1"] {
            assert_eq!(Table::ProgramTypes.number(name), None, "{name}");
        }
        assert_eq!(Table::ProgramTypes.name(0), None);
    }
}
