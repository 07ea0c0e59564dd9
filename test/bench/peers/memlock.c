/* bpfman raises its limit of locked memory, and ends if it may not: without CAP_SYS_RESOURCE. Kernels from 5.11 do not count BPF
 * maps against that limit. Preloaded, this lets the call succeed. */
#include <sys/resource.h>

int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
	(void)resource;
	(void)limit;
	return 0;
}

int setrlimit64(__rlimit_resource_t resource, const struct rlimit64 *limit)
{
	(void)resource;
	(void)limit;
	return 0;
}
