/*
 * Counts the frames of an interface, with libbpf. See ../README.md:
 *
 *   counter-libbpf OBJECT INTERFACE PINS
 *
 * It says nothing of BPF tokens: libbpf makes one by itself.
 */
#include <errno.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <bpf/libbpf.h>

static int fail(const char *what)
{
	fprintf(stderr, "counter: %s: %s\n", what, strerror(errno));
	return 1;
}

int main(int argc, char **argv)
{
	LIBBPF_OPTS(bpf_object_open_opts, options);
	struct bpf_object *object;
	struct bpf_program *program;
	sigset_t stop;
	int index, caught;

	if (argc != 4) {
		fprintf(stderr, "usage: counter-libbpf OBJECT INTERFACE PINS\n");
		return 64;
	}
	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigprocmask(SIG_BLOCK, &stop, NULL);
	options.pin_root_path = argv[3];
	object = bpf_object__open_file(argv[1], &options);
	if (!object)
		return fail(argv[1]);
	if (bpf_object__load(object))
		return fail("load");
	index = if_nametoindex(argv[2]);
	if (!index)
		return fail(argv[2]);
	program = bpf_object__find_program_by_name(object, "count");
	if (!program || !bpf_program__attach_xdp(program, index))
		return fail("attach");
	puts("attached");
	fflush(stdout);
	sigwait(&stop, &caught);
	return 0;
}
