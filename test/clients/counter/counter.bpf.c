/* Counts the frames of an interface in the only element of a map, which is pinned by its name. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} packets SEC(".maps");

SEC("xdp")
int count(struct xdp_md *context)
{
	__u32 key = 0;
	__u64 *counted = bpf_map_lookup_elem(&packets, &key);

	(void)context;
	if (counted)
		__sync_fetch_and_add(counted, 1);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
