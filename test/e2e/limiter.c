/*
 * A loaded program: holds an XDP program called xdp_limit, which uses a hash map called limits (u32 to u64), until its standard
 * input ends. Neither is pinned. Prints the program's id and tag when they are there; needs CAP_BPF and CAP_NET_ADMIN.
 */
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static int bpf(int command, union bpf_attr *attributes)
{
	return (int)syscall(SYS_bpf, command, attributes, sizeof(*attributes));
}

int main(void)
{
	union bpf_attr map = { .map_type = BPF_MAP_TYPE_HASH, .key_size = 4, .value_size = 8, .max_entries = 64,
			       .map_name = "limits" };
	int fd = bpf(BPF_MAP_CREATE, &map);
	if (fd < 0) {
		perror("limiter: MAP_CREATE");
		return 1;
	}
	struct bpf_insn program[] = {
		{ .code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = BPF_REG_1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = fd },
		{ 0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr load = { .prog_type = BPF_PROG_TYPE_XDP, .insns = (uintptr_t)program, .insn_cnt = 4,
				.license = (uintptr_t) "GPL", .prog_name = "xdp_limit" };
	struct bpf_prog_info info = { 0 };
	union bpf_attr get = { .info = { .info_len = sizeof(info), .info = (uintptr_t)&info } };
	int loaded = bpf(BPF_PROG_LOAD, &load);
	if (loaded < 0) {
		perror("limiter: PROG_LOAD");
		return 1;
	}
	get.info.bpf_fd = (uint32_t)loaded;
	if (bpf(BPF_OBJ_GET_INFO_BY_FD, &get) < 0) {
		perror("limiter: OBJ_GET_INFO_BY_FD");
		return 1;
	}
	printf("%u ", info.id);
	for (size_t i = 0; i < sizeof(info.tag); i++)
		printf("%02x", info.tag[i]);
	puts("");
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}
