/* SPDX-License-Identifier: MIT */
/* lend.c - see lend.h */
#include "io/uring/lend.h"

#include <sys/mman.h>

WF_OWNER_CODE_BEGIN

#define RING_BYTES (WF_LEND_BUFFERS * sizeof(struct io_uring_buf))

static void provide(struct wf_uring_lend *lend, uint32_t index, int ahead)
{
	io_uring_buf_ring_add(lend->ring, lend->lender->block + (size_t)index * WF_LEND_BYTES,
		WF_LEND_BYTES, (unsigned short)index, io_uring_buf_ring_mask(WF_LEND_BUFFERS), ahead);
}

static bool make(struct wf_uring_lend *lend, struct io_uring *ring)
{
	lend->lender = wf_lender_make();
	if (lend->lender == NULL)
		return false;
	/* Not inherited by children: they must not share what the kernel writes. */
	void *memory =
		mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		goto no_memory;
	madvise(memory, RING_BYTES, MADV_DONTFORK);
	struct io_uring_buf_reg request = {.ring_addr = (uintptr_t)memory,
		.ring_entries = WF_LEND_BUFFERS,
		.bgid = WF_URING_LEND_GROUP};
	if (io_uring_register_buf_ring(ring, &request, 0) != 0)
		goto refused;
	lend->ring = memory;
	io_uring_buf_ring_init(lend->ring);
	for (uint32_t i = 0; i < WF_LEND_BUFFERS; i++)
		provide(lend, i, (int)i);
	io_uring_buf_ring_advance(lend->ring, WF_LEND_BUFFERS);
	return true;

refused:
	munmap(memory, RING_BYTES);
no_memory:
	wf_lender_leave(lend->lender);
	lend->lender = NULL;
	return false;
}

bool wf_uring_lend_ready(struct wf_uring_lend *lend, struct io_uring *ring)
{
	if (WF_LIKELY(lend->ring != NULL))
		return true;
	if (lend->refused)
		return false;
	lend->refused = !make(lend, ring); /* UL2 */
	return !lend->refused;
}

void wf_uring_lend_refill(struct wf_uring_lend *lend)
{
	if (lend->ring == NULL)
		return;
	int count = 0;
	for (uint32_t i = wf_lender_take_back(lend->lender); i != WF_LEND_NONE;
		i = lend->lender->next[i])
		provide(lend, i, count++);
	if (count > 0)
		io_uring_buf_ring_advance(lend->ring, count);
}

int32_t wf_uring_lend_complete(
	struct wf_uring_lend *lend, struct wf_op *op, const struct io_uring_cqe *cqe)
{
	if (!(cqe->flags & IORING_CQE_F_BUFFER))
		return cqe->res;
	uint32_t index = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
	char *buffer = wf_lender_lend(lend->lender, index);
	if (cqe->res <= 0) {
		wf_lender_give_back(lend->lender, buffer);
		return cqe->res;
	}
	op->memory = buffer;
	op->other = lend->lender;
	return cqe->res;
}

void wf_uring_lend_end(struct wf_uring_lend *lend, struct io_uring *ring)
{
	if (lend->ring == NULL)
		return;
	io_uring_unregister_buf_ring(ring, WF_URING_LEND_GROUP); /* UL1 */
	munmap(lend->ring, RING_BYTES);
	wf_lender_leave(lend->lender);
}

WF_OWNER_CODE_END
