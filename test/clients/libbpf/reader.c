// Reads and writes a map of a volume with libbpf:
//
//   reader [--lookup KEY] [--update KEY=VALUE [--expect-denied]] DIRECTORY NAME
//
// Keys and values are hexadecimal. The exit status is 0, or 1 if the kernel did not answer as expected, or 64.
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum { MAX_BYTES = 4096 };

struct bytes {
	size_t length;
	unsigned char data[MAX_BYTES];
};

struct options {
	char path[4096];
	bool lookup, update, expect_denied;
	struct bytes wanted, key, value;
};

struct map {
	int fd;
	struct bpf_map_info info;
};

static int fail(const struct options *opts, const char *what, int error)
{
	fprintf(stderr, "reader: %s: %s: %s\n", opts->path, what, strerror(error));
	return EXIT_FAILURE;
}

static bool parse_hex(const char *text, size_t digits, struct bytes *to)
{
	if (digits == 0 || digits % 2 != 0 || digits / 2 > MAX_BYTES)
		return false;
	for (size_t i = 0; i < digits; i += 2) {
		char pair[3] = { text[i], text[i + 1], 0 };

		if (!isxdigit((unsigned char)pair[0]) || !isxdigit((unsigned char)pair[1]))
			return false;
		to->data[i / 2] = (unsigned char)strtoul(pair, NULL, 16);
	}
	to->length = digits / 2;
	return true;
}

static bool parse_update(const char *text, struct options *opts)
{
	const char *equals = strchr(text, '=');

	return equals && parse_hex(text, (size_t)(equals - text), &opts->key) &&
	       parse_hex(equals + 1, strlen(equals + 1), &opts->value);
}

static bool parse(int argc, char **argv, struct options *opts)
{
	static const struct option known[] = {
		{ "lookup", required_argument, NULL, 'l' },
		{ "update", required_argument, NULL, 'u' },
		{ "expect-denied", no_argument, NULL, 'd' },
		{ 0 },
	};
	int found;

	while ((found = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (found) {
		case 'l':
			opts->lookup = parse_hex(optarg, strlen(optarg), &opts->wanted);
			if (!opts->lookup)
				return false;
			break;
		case 'u':
			opts->update = parse_update(optarg, opts);
			if (!opts->update)
				return false;
			break;
		case 'd':
			opts->expect_denied = true;
			break;
		default:
			return false;
		}
	}
	if (argc - optind != 2 || (opts->expect_denied && !opts->update))
		return false;
	int length = snprintf(opts->path, sizeof(opts->path), "%s/%s", argv[optind], argv[optind + 1]);

	return length > 0 && (size_t)length < sizeof(opts->path);
}

// bpf_obj_get() asks for reading and writing, which a read-only volume refuses; the flag asks for reading alone.
static int open_pin(const char *path, __u32 flags)
{
	LIBBPF_OPTS(bpf_obj_get_opts, how, .file_flags = flags);

	return bpf_obj_get_opts(path, &how);
}

static void print_entry(const struct map *map, const unsigned char *key, const unsigned char *value)
{
	for (__u32 i = 0; i < map->info.key_size; i++)
		printf("%02x", key[i]);
	putchar(' ');
	for (__u32 i = 0; i < map->info.value_size; i++)
		printf("%02x", value[i]);
	putchar('\n');
}

static int look_up(const struct options *opts, const struct map *map)
{
	unsigned char value[MAX_BYTES];

	if (bpf_map_lookup_elem(map->fd, opts->wanted.data, value) < 0)
		return fail(opts, "lookup", errno);
	print_entry(map, opts->wanted.data, value);
	return EXIT_SUCCESS;
}

static int dump(const struct options *opts, const struct map *map)
{
	unsigned char keys[2][MAX_BYTES], value[MAX_BYTES];
	unsigned char *previous = NULL, *key = keys[0];

	while (bpf_map_get_next_key(map->fd, previous, key) == 0) {
		if (bpf_map_lookup_elem(map->fd, key, value) == 0)
			print_entry(map, key, value);
		else if (errno != ENOENT) // the entry may have gone since
			return fail(opts, "lookup", errno);
		previous = key;
		key = key == keys[0] ? keys[1] : keys[0];
	}
	return errno == ENOENT ? EXIT_SUCCESS : fail(opts, "iterate", errno);
}

static int update(const struct options *opts)
{
	int fd = open_pin(opts->path, 0), status = EXIT_SUCCESS;

	if (fd < 0)
		return fail(opts, "open for writing", errno);
	if (bpf_map_update_elem(fd, opts->key.data, opts->value.data, BPF_ANY) < 0)
		status = fail(opts, "update", errno);
	close(fd);
	return status;
}

// Makes a failure of anything but a refusal, and reports the refusal.
static int denied(const struct options *opts, const char *what, int result)
{
	int error = errno;

	if (result >= 0) {
		fprintf(stderr, "reader: %s: %s: was not refused\n", opts->path, what);
		return EXIT_FAILURE;
	}
	if (error != EPERM && error != EACCES && error != EROFS)
		return fail(opts, what, error);
	fprintf(stderr, "%s: refused with %s\n", what, strerrorname_np(error));
	return EXIT_SUCCESS;
}

// Tries both ways to write: a descriptor of its own, and the one for reading.
static int update_denied(const struct options *opts, const struct map *map)
{
	int fd = open_pin(opts->path, 0);
	int status = denied(opts, "open for writing", fd);

	if (fd >= 0)
		close(fd);
	if (status != EXIT_SUCCESS)
		return status;
	return denied(opts, "update through a read-only descriptor",
		      bpf_map_update_elem(map->fd, opts->key.data, opts->value.data, BPF_ANY));
}

static int check(const struct options *opts, const struct map *map)
{
	const struct bpf_map_info *info = &map->info;

	// The values of other types are not value_size bytes long.
	if (info->type != BPF_MAP_TYPE_HASH && info->type != BPF_MAP_TYPE_LRU_HASH && info->type != BPF_MAP_TYPE_ARRAY)
		return fail(opts, "this client does not read its type", ENOTSUP);
	if (info->key_size > MAX_BYTES || info->value_size > MAX_BYTES)
		return fail(opts, "its keys or values are too long for this client", E2BIG);
	if ((opts->lookup && opts->wanted.length != info->key_size) ||
	    (opts->update && (opts->key.length != info->key_size || opts->value.length != info->value_size)))
		return fail(opts, "its keys or values have another length than those given", EINVAL);
	return EXIT_SUCCESS;
}

static int use(const struct options *opts, struct map *map)
{
	__u32 length = sizeof(map->info);
	int status;

	if (bpf_obj_get_info_by_fd(map->fd, &map->info, &length) < 0)
		return fail(opts, "describe", errno);
	status = check(opts, map);
	if (status == EXIT_SUCCESS && opts->update)
		status = opts->expect_denied ? update_denied(opts, map) : update(opts);
	if (status != EXIT_SUCCESS)
		return status;
	return opts->lookup ? look_up(opts, map) : dump(opts, map);
}

int main(int argc, char **argv)
{
	static struct options opts;
	struct map map = { 0 };
	int status;

	if (!parse(argc, argv, &opts)) {
		fprintf(stderr, "usage: reader [--lookup KEY] [--update KEY=VALUE [--expect-denied]] DIRECTORY NAME\n");
		return EX_USAGE;
	}
	map.fd = open_pin(opts.path, BPF_F_RDONLY);
	if (map.fd < 0)
		return fail(&opts, "open for reading", errno);
	status = use(&opts, &map);
	close(map.fd);
	return status;
}
