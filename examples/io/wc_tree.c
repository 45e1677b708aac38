/* SPDX-License-Identifier: MIT */
/* wc_tree.c - counts the lines, words and bytes of all files below a directory, many at a time
 *
 * Shows    directories read by weft_offload, since the kernel has no other readdir than one that
 *          blocks; a channel of paths that keeps the walk from running ahead of the readers; a
 *          bounded number of open files; errors of single files that do not end the rest
 * Build    cc wc_tree.c $(pkg-config --cflags --libs weft) -o wc_tree
 * Run      ./wc_tree /usr/include          ./wc_tree --total /usr/include
 * In tree  bazel run //examples/io:wc_tree -- /usr/include
 * Ends     with 0; 1: something could not be read, the rest was counted; 2: wrong usage
 *
 * Prints a line for each regular file as it is done, then the total, as wc(1) does but without
 * padding. Symbolic links are not followed. A word is what stands between white space.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <weft/weft.h>

#define BLOCK 65536
#define BATCH 16384 /* bytes of names read from a directory at a time */

struct counts {
	uint64_t lines;
	uint64_t words;
	uint64_t bytes;
};

struct walk {
	const char *root;
	unsigned readers;
	bool total_only;
	weft_chan *paths; /* char *, of files; the receiver frees them */
	weft_mutex lock;  /* of what follows, and of the lines printed */
	struct counts total;
	bool failed;
};

static void complain(struct walk *walk, const char *path, int error)
{
	weft_mutex_lock(&walk->lock);
	fprintf(stderr, "wc_tree: %s: %s\n", path, strerror(-error));
	walk->failed = true;
	weft_mutex_unlock(&walk->lock);
}

static void count_block(struct counts *counts, const char *data, size_t length, bool *in_word)
{
	for (size_t i = 0; i < length; i++) {
		bool space = data[i] == ' ' || (data[i] >= '\t' && data[i] <= '\r');
		counts->words += !space && !*in_word;
		counts->lines += data[i] == '\n';
		*in_word = !space;
	}
	counts->bytes += length;
}

static int count_file(const char *path, char *block, struct counts *counts)
{
	bool in_word = false;
	ssize_t length;
	/* It may have become a FIFO or a link since the directory was read. */
	int fd = weft_openat(
		AT_FDCWD, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);

	if (fd < 0)
		return fd;
	while ((length = weft_read(fd, block, BLOCK)) > 0)
		count_block(counts, block, (size_t)length, &in_word);
	weft_close(fd);
	return (int)length;
}

static int count_files(void *arg)
{
	struct walk *walk = arg;
	char *block = malloc(BLOCK);
	char *path;
	int error = block ? 0 : -ENOMEM;

	while (error == 0 && (error = weft_chan_recv(walk->paths, &path)) == 0) {
		struct counts counts = {0};
		int failed = count_file(path, block, &counts);
		if (failed < 0 && failed != -ECANCELED)
			complain(walk, path, failed);
		weft_mutex_lock(&walk->lock);
		walk->total.lines += counts.lines;
		walk->total.words += counts.words;
		walk->total.bytes += counts.bytes;
		if (failed == 0 && !walk->total_only)
			printf("%llu %llu %llu %s\n", (unsigned long long)counts.lines,
				(unsigned long long)counts.words, (unsigned long long)counts.bytes,
				path);
		weft_mutex_unlock(&walk->lock);
		free(path);
	}
	free(block);
	return error == -EPIPE ? 0 : error; /* the channel is closed: all is done */
}

/* A directory that is still to be read. */
struct directory {
	char *path;
	struct directory *next;
};

/* Entries of a directory, as many as fit. */
struct batch {
	int fd;
	ssize_t length; /* or a negative error; 0 at the end */
	_Alignas(struct dirent64) char entries[BATCH];
};

/* On a thread of the pool: this call blocks. */
static void *read_batch(void *arg)
{
	struct batch *batch = arg;

	batch->length = getdents64(batch->fd, batch->entries, sizeof(batch->entries));
	if (batch->length < 0)
		batch->length = -errno;
	return NULL;
}

static char *join(const char *path, const char *name)
{
	size_t length = strlen(path);
	size_t room = length + strlen(name) + 2;
	char *joined = malloc(room);

	if (joined)
		snprintf(joined, room, "%s%s%s", path,
			length > 0 && path[length - 1] == '/' ? "" : "/", name);
	return joined;
}

static struct directory *push_directory(struct directory *next, char *path)
{
	struct directory *directory = malloc(sizeof(*directory));

	if (directory)
		*directory = (struct directory){.path = path, .next = next};
	return directory;
}

/* Takes @path over: to the list of directories, to the readers, or to free(). */
static int visit(struct walk *walk, struct directory **list, char *path, unsigned char type)
{
	int error = 0;

	if (!path)
		return -ENOMEM;
	if (type == DT_UNKNOWN) {
		struct statx at;
		error = weft_statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &at);
		if (error == 0)
			type = S_ISDIR(at.stx_mode)    ? DT_DIR
				: S_ISREG(at.stx_mode) ? DT_REG
						       : DT_LNK;
		if (error < 0 && error != -ECANCELED) {
			complain(walk, path, error);
			error = 0;
		}
	}
	if (type == DT_DIR) {
		struct directory *directory = push_directory(*list, path);
		if (directory) {
			*list = directory;
			return 0;
		}
		error = -ENOMEM;
	} else if (type == DT_REG && (error = weft_chan_send(walk->paths, &path)) == 0) {
		return 0;
	}
	free(path);
	return error;
}

static int visit_batch(
	struct walk *walk, struct directory **list, const char *path, const struct batch *batch)
{
	int error = 0;

	for (ssize_t at = 0; at < batch->length && error == 0;) {
		const struct dirent64 *entry = (const void *)(batch->entries + at);
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			error = visit(walk, list, join(path, entry->d_name), entry->d_type);
		at += entry->d_reclen;
	}
	return error;
}

/* All of one directory. What is below it joins the list. */
static int walk_directory(struct walk *walk, struct directory **list, const char *path, struct batch *batch)
{
	int error = 0;

	batch->fd = weft_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	batch->length = batch->fd;
	while (batch->length >= 0) {
		error = weft_offload(read_batch, batch, NULL);
		if (error < 0 || batch->length <= 0)
			break;
		error = visit_batch(walk, list, path, batch);
		if (error < 0)
			break;
	}
	if (error == 0 && batch->length < 0)
		complain(walk, path, (int)batch->length);
	if (batch->fd >= 0)
		weft_close(batch->fd);
	return error;
}

static int walk_tree(struct walk *walk)
{
	struct directory *list = NULL;
	struct batch *batch = malloc(sizeof(*batch));
	int error = batch ? visit(walk, &list, strdup(walk->root), DT_UNKNOWN) : -ENOMEM;

	while (list) {
		struct directory *directory = list;
		list = directory->next;
		if (error == 0)
			error = walk_directory(walk, &list, directory->path, batch);
		free(directory->path);
		free(directory);
	}
	free(batch);
	return error;
}

static int run_walk(struct walk *walk)
{
	weft_scope scope;
	int error = weft_scope_open(&scope, WEFT_FOREVER);

	if (error < 0)
		return error;
	for (unsigned i = 0; i < walk->readers && error == 0; i++)
		error = weft_scope_spawn(&scope, count_files, walk);
	if (error == 0)
		error = walk_tree(walk);
	weft_chan_close(walk->paths);
	if (error < 0)
		weft_scope_cancel(&scope);
	int closed = weft_scope_close(&scope);
	/* -ECANCELED in the opener is only the echo of what close returns. */
	return error < 0 && error != -ECANCELED ? error : closed;
}

static void *start(void *arg)
{
	struct walk *walk = arg;
	char *path;
	int error = weft_chan_new(&walk->paths, sizeof(char *), walk->readers);

	if (error == 0)
		error = run_walk(walk);
	while (weft_chan_try_recv(walk->paths, &path) == 0)
		free(path); /* after an error: what nobody has read */
	weft_chan_free(walk->paths);
	return (void *)(intptr_t)error;
}

static int usage(int status)
{
	fprintf(status == 0 ? stdout : stderr,
		"usage: wc_tree [--readers N] [--total] PATH\n"
		"  PATH         a directory, or a file\n"
		"  --readers N  files open at a time, 1 to 1000 (16)\n"
		"  --total      print the total alone\n");
	return status;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'},
		{"readers", required_argument, NULL, 'r'},
		{"total", no_argument, NULL, 't'},
		{NULL, 0, NULL, 0},
	};
	struct walk walk = {.readers = 16};
	void *result = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'r') {
			char *rest;
			long readers = strtol(optarg, &rest, 10);
			if (rest == optarg || *rest != '\0' || readers < 1 || readers > 1000)
				return usage(2);
			walk.readers = (unsigned)readers;
		} else if (option == 't') {
			walk.total_only = true;
		} else {
			return usage(option == 'h' ? 0 : 2);
		}
	}
	if (optind != argc - 1)
		return usage(2);
	walk.root = argv[optind];

	int error = weft_run(NULL, start, &walk, &result);
	if (error == 0)
		error = (int)(intptr_t)result;
	if (error < 0) {
		fprintf(stderr, "wc_tree: %s: %s\n", walk.root, strerror(-error));
		return 1;
	}
	printf("%llu %llu %llu total\n", (unsigned long long)walk.total.lines,
		(unsigned long long)walk.total.words, (unsigned long long)walk.total.bytes);
	return fflush(stdout) != 0 || walk.failed;
}
