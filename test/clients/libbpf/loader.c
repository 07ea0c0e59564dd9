/*
 * Makes an array of u32 to u64 and pins it, or finds the pin of its last run, as a loader that comes back does; then adds
 * one to the element 0 and prints it:
 *
 *   loader PIN
 *
 * Needs CAP_BPF to make the map. The exit status is 0, or 1 if the kernel refuses something.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>

static int fail(const char *what)
{
	fprintf(stderr, "loader: %s: %s\n", what, strerror(errno));
	return 1;
}

int main(int argc, char **argv)
{
	uint32_t key = 0;
	uint64_t value = 0;
	int map;

	if (argc != 2) {
		fprintf(stderr, "usage: loader PIN\n");
		return 64;
	}
	map = bpf_obj_get(argv[1]);
	if (map < 0) {
		if (errno != ENOENT)
			return fail("open");
		map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "loaded", sizeof(key), sizeof(value), 16, NULL);
		if (map < 0)
			return fail("create");
		if (bpf_obj_pin(map, argv[1]))
			return fail("pin");
	}
	if (bpf_map_lookup_elem(map, &key, &value))
		return fail("lookup");
	value++;
	if (bpf_map_update_elem(map, &key, &value, BPF_ANY))
		return fail("update");
	printf("%llu\n", (unsigned long long)value);
	return 0;
}
