/* SPDX-License-Identifier: MIT */
/* uring_read.h - the floor of the random_read question: reads of a file by a bare ring, on the calling thread */
#ifndef WEFT_BENCH_URING_READ_H
#define WEFT_BENCH_URING_READ_H

#include <stdint.h>

enum { URING_READ_DEPTH_MAX = 256 };

struct uring_read {
	int file;
	unsigned bytes;		      /* of a read */
	unsigned depth;		      /* reads in flight */
	uint64_t (*place)(void *arg); /* where the next read begins */
	void *arg;
	char *buffer[URING_READ_DEPTH_MAX];
};

void uring_read_open(void);
void uring_read_round(struct uring_read *read, uint64_t count);
void uring_read_close(void);

#endif
