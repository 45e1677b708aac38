/* SPDX-License-Identifier: MIT */
/* copy_file.c - copies a file in parallel chunks, checks the copy, and prints its checksum
 *
 * Shows    fibers that read and write one file at different offsets; a channel that deals the
 *          chunks; blocking calls which weft lacks (lseek, fchmod) run by weft_offload; progress on
 *          stderr; a name that is there completely or not at all; Ctrl-C that leaves nothing
 * Build    cc copy_file.c $(pkg-config --cflags --libs weft) -o copy_file
 * Run      ./copy_file big.iso /mnt/big.iso          ./copy_file big.iso    (the checksum alone)
 * In tree  bazel run //examples/io:copy_file -- FROM TO
 * Ends     with 0; 1: something failed, and TO is as it was before; 2: wrong usage
 *
 * Holes of the file stay holes. The checksum is that of cksum(1): a polynomial over GF(2), so each
 * chunk's share of it can be computed where the chunk is read, in any order, and the sum of the
 * shares is the checksum of the whole.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <weft/weft.h>

#define CHUNK 262144

struct chunk {
	off_t offset;
	size_t length;
};

struct job {
	const char *from;
	const char *to; /* NULL: the checksum alone */
	unsigned fibers;
	bool quiet;
	weft_chan *signals;
	weft_scope scope;
	int signal;   /* the one that stopped it, or 0 */
	uint32_t sum; /* what cksum(1) prints */
	off_t size;
	weft_mutex lock; /* of what follows, which the progress reads */
	const char *stage;
	const char *name; /* of the file that it is about */
	off_t done;
};

/* One pass over a file: from copied to to, or only read when to is -1. */
struct pass {
	struct job *job;
	int from;
	int to;
	weft_chan *chunks;
	weft_mutex lock;
	uint32_t sum; /* of the chunks' shares */
};

static uint32_t crc_table[256];

static void make_crc_table(void)
{
	for (uint32_t byte = 0; byte < 256; byte++) {
		uint32_t crc = byte << 24;
		for (int bit = 0; bit < 8; bit++)
			crc = crc << 1 ^ (crc >> 31 ? 0x04c11db7u : 0);
		crc_table[byte] = crc;
	}
}

static uint32_t crc_of(uint32_t crc, const unsigned char *data, size_t length)
{
	for (size_t i = 0; i < length; i++)
		crc = crc << 8 ^ crc_table[crc >> 24 ^ data[i]];
	return crc;
}

/* The product of two polynomials, modulo that of the checksum. */
static uint32_t multiply(uint32_t a, uint32_t b)
{
	uint32_t product = 0;

	for (; b; b >>= 1) {
		if (b & 1)
			product ^= a;
		a = a << 1 ^ (a >> 31 ? 0x04c11db7u : 0);
	}
	return product;
}

/* The checksum of data with @zeros zero bytes behind them: times x to the power of 8 * zeros. */
static uint32_t append_zeros(uint32_t crc, uint64_t zeros)
{
	for (uint32_t power = 0x100; zeros; zeros >>= 1, power = multiply(power, power))
		if (zeros & 1)
			crc = multiply(crc, power);
	return crc;
}

/* cksum(1) puts the length behind the data, without leading zeros, and inverts. */
static uint32_t finish_crc(uint32_t crc, uint64_t size)
{
	for (; size; size >>= 8) {
		unsigned char byte = (unsigned char)size;
		crc = crc_of(crc, &byte, 1);
	}
	return ~crc;
}

static int move_chunk(struct pass *pass, const struct chunk *chunk, unsigned char *buffer)
{
	size_t length = 0;

	while (length < chunk->length) {
		ssize_t n = weft_pread(pass->from, buffer + length, chunk->length - length,
			chunk->offset + (off_t)length);
		if (n <= 0)
			return n < 0 ? (int)n : -ESTALE; /* the file has become shorter */
		length += (size_t)n;
	}
	for (size_t written = 0; pass->to >= 0 && written < length;) {
		ssize_t n = weft_pwrite(pass->to, buffer + written, length - written,
			chunk->offset + (off_t)written);
		if (n < 0)
			return (int)n;
		written += (size_t)n;
	}
	off_t end = chunk->offset + (off_t)length;
	uint32_t share = append_zeros(crc_of(0, buffer, length), (uint64_t)(pass->job->size - end));
	weft_mutex_lock(&pass->lock);
	pass->sum ^= share;
	weft_mutex_unlock(&pass->lock);
	weft_mutex_lock(&pass->job->lock);
	if (pass->job->done < end)
		pass->job->done = end;
	weft_mutex_unlock(&pass->job->lock);
	return 0;
}

static int move_chunks(void *arg)
{
	struct pass *pass = arg;
	unsigned char *buffer = malloc(CHUNK);
	struct chunk chunk;
	int error = buffer ? 0 : -ENOMEM;

	while (error == 0 && (error = weft_chan_recv(pass->chunks, &chunk)) == 0)
		error = move_chunk(pass, &chunk, buffer);
	free(buffer);
	return error == -EPIPE ? 0 : error; /* the channel is closed: all is done */
}

/* The next part of a file that is not a hole. On a thread of the pool: weft has no lseek. */
struct extent {
	int fd;
	off_t begin;
	off_t end;
	int error;
};

static void *find_extent(void *arg)
{
	struct extent *extent = arg;
	off_t begin = lseek(extent->fd, extent->end, SEEK_DATA);
	off_t end = begin < 0 ? -1 : lseek(extent->fd, begin, SEEK_HOLE);

	extent->begin = begin;
	extent->end = end;
	extent->error = begin < 0 || end < 0 ? -errno : 0;
	return NULL;
}

static int deal(struct pass *pass)
{
	struct extent extent = {.fd = pass->from};

	while (extent.end < pass->job->size) {
		int error = weft_offload(find_extent, &extent, NULL);
		if (error == 0)
			error = extent.error;
		if (error < 0)
			return error == -ENXIO ? 0 : error; /* no data behind here */
		if (extent.end > pass->job->size)
			extent.end = pass->job->size;
		while (extent.begin < extent.end) {
			/* Chunks begin at multiples of their size, for the file system's sake. */
			off_t left = extent.end - extent.begin;
			off_t room = CHUNK - extent.begin % CHUNK;
			struct chunk chunk = {extent.begin, (size_t)(left < room ? left : room)};
			error = weft_chan_send(pass->chunks, &chunk);
			if (error < 0)
				return error;
			extent.begin += (off_t)chunk.length;
		}
	}
	return 0;
}

/* What is done now, for the progress and for the message if it fails. */
static void enter(struct job *job, const char *stage, const char *name)
{
	weft_mutex_lock(&job->lock);
	job->stage = stage;
	job->name = name;
	job->done = 0;
	weft_mutex_unlock(&job->lock);
}

static int run_pass(struct job *job, int from, int to, uint32_t *sum)
{
	struct pass pass = {.job = job, .from = from, .to = to};
	weft_scope scope;
	int error = weft_chan_new(&pass.chunks, sizeof(struct chunk), job->fibers);

	if (error == 0)
		error = weft_scope_open(&scope, WEFT_FOREVER);
	if (error == 0) {
		for (unsigned i = 0; i < job->fibers && error == 0; i++)
			error = weft_scope_spawn(&scope, move_chunks, &pass);
		if (error == 0)
			error = deal(&pass);
		weft_chan_close(pass.chunks);
		if (error < 0)
			weft_scope_cancel(&scope);
		int closed = weft_scope_close(&scope);
		/* -ECANCELED in the opener is only the echo of what close returns. */
		error = error < 0 && error != -ECANCELED ? error : closed;
	}
	weft_chan_free(pass.chunks);
	*sum = finish_crc(pass.sum, (uint64_t)job->size);
	return error;
}

/* Permissions and times. On a thread of the pool, too. */
struct attributes {
	int fd;
	struct statx from;
};

static void *set_attributes(void *arg)
{
	const struct attributes *attributes = arg;
	const struct statx *from = &attributes->from;
	struct timespec times[2] = {
		{.tv_sec = from->stx_atime.tv_sec, .tv_nsec = from->stx_atime.tv_nsec},
		{.tv_sec = from->stx_mtime.tv_sec, .tv_nsec = from->stx_mtime.tv_nsec},
	};
	bool failed = fchmod(attributes->fd, from->stx_mode & 0777) != 0 ||
		futimens(attributes->fd, times) != 0;

	return (void *)(intptr_t)(failed ? -errno : 0);
}

/* Is the file still the one that was read? */
static int check_unchanged(int fd, const struct statx *before)
{
	struct statx now;
	int error = weft_statx(fd, "", AT_EMPTY_PATH, STATX_SIZE | STATX_MTIME, &now);

	if (error < 0)
		return error;
	return now.stx_size == before->stx_size && now.stx_mtime.tv_sec == before->stx_mtime.tv_sec &&
			now.stx_mtime.tv_nsec == before->stx_mtime.tv_nsec
		? 0
		: -ESTALE;
}

static int fill(struct job *job, int from, int to, struct attributes *attributes)
{
	void *result = NULL;
	uint32_t sum;

	enter(job, "copying to", job->to);
	int error = weft_ftruncate(to, job->size); /* what is not written is a hole */
	if (error == 0)
		error = run_pass(job, from, to, &job->sum);
	if (error == 0)
		error = check_unchanged(from, &attributes->from);
	if (error < 0)
		return error;

	enter(job, "checking", job->to);
	error = run_pass(job, to, -1, &sum);
	if (error == 0 && sum != job->sum)
		error = -EIO;
	if (error < 0)
		return error;

	enter(job, "writing to the disk", job->to);
	error = weft_offload(set_attributes, attributes, &result);
	if (error == 0)
		error = (int)(intptr_t)result;
	return error < 0 ? error : weft_fsync(to);
}

/* The copy grows under another name, and gets its own when it is complete and on the disk. */
static int copy(struct job *job, int from, const struct statx *before)
{
	struct attributes attributes = {.from = *before};
	size_t room = strlen(job->to) + 32;
	char *part = malloc(room);

	if (!part)
		return -ENOMEM;
	snprintf(part, room, "%s.part%ld", job->to, (long)getpid());
	enter(job, "creating", job->to);
	int to = weft_openat(AT_FDCWD, part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int error = to < 0 ? to : 0;
	if (to >= 0) {
		attributes.fd = to;
		error = fill(job, from, to, &attributes);
		int closed = weft_close(to);
		error = error == 0 ? closed : error;
		if (error == 0) {
			enter(job, "renaming to", job->to);
			error = weft_renameat(AT_FDCWD, part, AT_FDCWD, job->to);
		}
		if (error < 0) {
			bool was = weft_shield(true); /* cancelled or not: nothing is left behind */
			weft_unlinkat(AT_FDCWD, part, 0);
			weft_shield(was);
		}
	}
	free(part);
	return error;
}

static int run_job(struct job *job)
{
	struct statx before;

	enter(job, "opening", job->from);
	/* O_NONBLOCK: a FIFO is to be refused, not waited for. */
	int from = weft_openat(AT_FDCWD, job->from, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0);
	if (from < 0)
		return from;
	int error = weft_statx(from, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &before);
	if (error == 0 && !S_ISREG(before.stx_mode))
		error = S_ISDIR(before.stx_mode) ? -EISDIR : -EINVAL;
	if (error == 0) {
		job->size = (off_t)before.stx_size;
		enter(job, "reading", job->from);
		error = job->to ? copy(job, from, &before) : run_pass(job, from, -1, &job->sum);
	}
	if (error == 0 && !job->to)
		error = check_unchanged(from, &before);
	weft_close(from);
	return error;
}

static int await_signal(void *arg)
{
	struct job *job = arg;
	int number;
	int error = weft_chan_recv(job->signals, &number);

	if (error == 0) {
		job->signal = number;
		weft_scope_cancel(&job->scope);
	}
	return error;
}

static int show_progress(void *arg)
{
	struct job *job = arg;
	bool shown = false;

	while (weft_sleep(200 * WEFT_MS) == 0) {
		weft_mutex_lock(&job->lock);
		const char *stage = job->stage;
		double percent = job->done == 0 ? 0 : 100.0 * (double)job->done / (double)job->size;
		weft_mutex_unlock(&job->lock);
		fprintf(stderr, "\r%s: %3.0f%% of %lld bytes ", stage, percent, (long long)job->size);
		shown = true;
	}
	if (shown)
		fprintf(stderr, "\n");
	return 0;
}

static void *start(void *arg)
{
	struct job *job = arg;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	enter(job, "starting with", job->from);
	int error = weft_signal_chan(&job->signals, &set);
	if (error == 0)
		error = weft_scope_open(&job->scope, WEFT_FOREVER);
	if (error == 0) {
		error = weft_scope_spawn(&job->scope, await_signal, job);
		if (error == 0 && !job->quiet)
			error = weft_scope_spawn(&job->scope, show_progress, job);
		if (error == 0)
			error = run_job(job);
		weft_scope_cancel(&job->scope); /* the two helpers */
		weft_scope_close(&job->scope);
	}
	weft_chan_free(job->signals);
	return (void *)(intptr_t)error;
}

static int usage(int status)
{
	fprintf(status == 0 ? stdout : stderr,
		"usage: copy_file [--fibers N] [--quiet] FROM [TO]\n"
		"  FROM        a regular file\n"
		"  TO          the copy's name; a file that has it is replaced. Without: the checksum alone\n"
		"  --fibers N  chunks of 256 KiB under way at a time, 1 to 1000 (16)\n"
		"  --quiet     no progress on stderr\n"
		"Prints checksum, size and FROM as cksum(1) does.\n");
	return status;
}

static int report(const struct job *job, int error)
{
	if (error == 0) {
		printf("%lu %lld %s\n", (unsigned long)job->sum, (long long)job->size, job->from);
		return fflush(stdout) == 0 ? 0 : 1;
	}
	if (job->signal != 0)
		fprintf(stderr, "copy_file: stopped by signal %d\n", job->signal);
	else if (error == -ESTALE)
		fprintf(stderr, "copy_file: %s: it changes while it is read\n", job->from);
	else
		fprintf(stderr, "copy_file: %s %s: %s\n", job->stage ? job->stage : "starting with",
			job->name ? job->name : job->from, strerror(-error));
	return 1;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'},
		{"fibers", required_argument, NULL, 'f'},
		{"quiet", no_argument, NULL, 'q'},
		{NULL, 0, NULL, 0},
	};
	struct job job = {.fibers = 16};
	void *result = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'f') {
			char *rest;
			long fibers = strtol(optarg, &rest, 10);
			if (rest == optarg || *rest != '\0' || fibers < 1 || fibers > 1000)
				return usage(2);
			job.fibers = (unsigned)fibers;
		} else if (option == 'q') {
			job.quiet = true;
		} else {
			return usage(option == 'h' ? 0 : 2);
		}
	}
	if (optind == argc || argc - optind > 2)
		return usage(2);
	job.from = argv[optind];
	job.to = argv[optind + 1];
	make_crc_table();

	int error = weft_run(NULL, start, &job, &result);
	return report(&job, error < 0 ? error : (int)(intptr_t)result);
}
