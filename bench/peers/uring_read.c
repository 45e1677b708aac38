/* SPDX-License-Identifier: MIT */
/* uring_read.c - see uring_read.h
 *
 * One SQE a buffer in flight; what a batch of completions frees goes out with one io_uring_enter.
 */
#include "bench/uring_read.h"

#include "bench/bench.h"

#include <liburing.h>

static struct io_uring ring;

void uring_read_open(void)
{
	struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};

	if (io_uring_queue_init_params(URING_READ_DEPTH_MAX, &ring, &params) < 0)
		bench_die("uring_read: no ring");
	io_uring_register_ring_fd(&ring);
}

void uring_read_close(void)
{
	io_uring_queue_exit(&ring);
}

static void ask(struct uring_read *read, unsigned slot)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	io_uring_prep_read(sqe, read->file, read->buffer[slot], read->bytes, read->place(read->arg));
	io_uring_sqe_set_data64(sqe, slot);
}

void uring_read_round(struct uring_read *read, uint64_t count)
{
	uint64_t left = count, in_flight = 0;

	for (; in_flight < read->depth && left > 0; in_flight++, left--)
		ask(read, (unsigned)in_flight);
	while (in_flight > 0) {
		struct io_uring_cqe *cqe;
		unsigned head, seen = 0;

		if (io_uring_submit_and_wait(&ring, 1) < 0)
			bench_die("uring_read: io_uring_enter failed");
		io_uring_for_each_cqe(&ring, head, cqe)
		{
			if (cqe->res != (int)read->bytes)
				bench_die("uring_read: a read failed");
			seen++;
			in_flight--;
			if (left > 0) {
				ask(read, (unsigned)cqe->user_data);
				in_flight++;
				left--;
			}
		}
		io_uring_cq_advance(&ring, seen);
	}
}
