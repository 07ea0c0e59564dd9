/* A program with two maps, for bpfman to load. It is attached nowhere. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

struct counter {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
};
struct counter map0 SEC(".maps");
struct counter map1 SEC(".maps");

SEC("classifier")
int count(struct __sk_buff *context)
{
	__u32 key = 0;
	__u64 *frames = bpf_map_lookup_elem(&map0, &key);
	__u64 *bytes = bpf_map_lookup_elem(&map1, &key);

	if (frames)
		__sync_fetch_and_add(frames, 1);
	if (bytes)
		__sync_fetch_and_add(bytes, context->len);
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
