/* SPDX-License-Identifier: MIT */
/* gen.c - generators: the calls of weft/gen.h
 *
 * What     operate() is PEP 342's and PEP 380's machine. It runs on the resumer's stack: it resumes whoever is innermost, takes what comes
 *          back (a value, a delegation, an end), and decides who goes on, in a loop; so chains of any depth need the same stack.
 * Rules    M1 while a generator is being closed (`target`), by the caller or because WEFT_GEN_EXIT passes through its delegator, a value
 *             that it yields is -EPROTO for whoever closes it, and an end by return or WEFT_GEN_EXIT is success.
 *          M2 a body's strand is entered only here, and left only in give_back() and at its end.
 * Tests    tests/seed, tests/seed_diff
 */
#include "sched/task/gen.h"

#include <errno.h>
#include <stddef.h>

#include "sched/base/alloc.h"
#include "sched/base/check.h"
#include "sched/base/log.h"
#include "sched/task/coro.h"

/* A call of next, send, throw or close. */
struct call {
	struct weft_gen *root;	 /* whom it was made on */
	struct weft_gen *target; /* M1; NULL: nobody is being closed */
	bool closes;		 /* close, not throw of WEFT_GEN_EXIT */
	void *payload;		 /* of the WEFT_GEN_EXIT thrown */
};

static struct weft_gen *of_strand(struct wf_strand *strand)
{
	return (struct weft_gen *)(void *)((char *)strand - offsetof(struct weft_gen, strand));
}

void wf_gen_unref(struct weft_gen *gen)
{
	if (wf_add_acq_rel32(&gen->references, UINT32_MAX) != 1) /* GE-3 */
		return;
	wf_chain_free(gen->spare);
	wf_free(gen, sizeof(*gen));
}

/* What a body that has returned hands to its resumer. */
static struct wf_gen_out ended_with(struct weft_gen *gen, void *result)
{
	if (result != &gen->raised)
		return (struct wf_gen_out){.why = WF_GEN_ENDS, .value = result};
	if (gen->raised >= 0) /* PEP 479 */
		return (struct wf_gen_out){.why = WF_GEN_ENDS, .code = -EPROTO};
	return (struct wf_gen_out){.why = WF_GEN_ENDS, .code = gen->raised, .value = gen->payload};
}

static struct wf_strand *run_body(struct wf_strand *self)
{
	struct weft_gen *gen = of_strand(self);
	gen->out = ended_with(gen, gen->body(gen->arg));
	if (gen->step.on)
		wf_strand_step_call(wf_host(), gen->resumer, &gen->step.after);
	return gen->resumer;
}

/* On the body's strand: until it is resumed. Returns how, and has put the value where `sent` says. */
static inline int give_back(
	struct weft_gen *gen, struct wf_host *host, enum wf_gen_why why, void *value, void **sent)
{
	gen->out = (struct wf_gen_out){.why = why, .value = value};
	gen->sent = sent;
	if (WF_LIKELY(gen->step.on)) {
		if (WF_UNLIKELY(why != WF_GEN_YIELDS))
			return wf_strand_step_call(host, gen->resumer, &gen->step.after);
		*gen->step.out = value;
		host->gen = gen->step.outer;
		return wf_strand_step_back(host, gen->resumer, WEFT_GEN_YIELDED, &gen->state,
			WEFT_GEN_SUSPENDED); /* GE-1 */
	}
	wf_strand_switch(host, gen->resumer, 0);
	return gen->code;
}

/* What one of an iterable's functions has answered. */
static struct wf_gen_out answered(int code, void *value)
{
	if (code == WEFT_GEN_YIELDED)
		return (struct wf_gen_out){.why = WF_GEN_YIELDS, .value = value};
	if (code == WEFT_GEN_DONE)
		return (struct wf_gen_out){.why = WF_GEN_ENDS, .value = value};
	if (code > WEFT_GEN_DONE)
		return (struct wf_gen_out){.why = WF_GEN_ENDS, .code = -EPROTO};
	return (struct wf_gen_out){.why = WF_GEN_ENDS, .code = code, .value = value};
}

static struct wf_gen_out passes(int code, void *value)
{
	return (struct wf_gen_out){.why = WF_GEN_PASSES, .code = code, .value = value};
}

static struct wf_gen_out close_iterable(struct weft_gen *gen)
{
	int code = 0;
	if (gen->iter.close != NULL) {
		code = gen->iter.close(gen->iter.self);
		gen->just_closed = true;
	}
	return code == 0 ? passes(0, NULL) : answered(code, NULL);
}

static struct wf_gen_out ask_iterable(struct weft_gen *gen, int code, void *value)
{
	const weft_iter *iter = &gen->iter;
	void *out = NULL;
	if (code < 0 && iter->throw_in == NULL)
		return passes(code, value);
	if (code == 0 && value != NULL && iter->send == NULL)
		return passes(-ENOSYS, NULL);
	gen->just_closed = false;
	gen->begun = true;
	if (code < 0)
		code = iter->throw_in(iter->self, code, value, &out);
	else if (value != NULL)
		code = iter->send(iter->self, value, &out);
	else
		code = iter->next(iter->self, &out);
	return answered(code, out);
}

/* Resumes a body with a value (code 0) or an error, until it gives control back: gen->out. */
static inline void enter(struct wf_host *host, struct weft_gen *gen, int code, void *value)
{
	struct weft_gen *outer = host->gen;
	host->gen = gen;
	gen->primed = false;
	gen->step.on = false;
	gen->code = code;
	if (gen->sent != NULL)
		*gen->sent = value;
	gen->resumer = wf_host_strand(host);
	wf_strand_switch(host, &gen->strand, code);
	wf_host()->gen = outer; /* T2: weft_coro_free may have brought this stack to another host */
}

/* Resumes any generator. */
static struct wf_gen_out run(struct call *call, struct weft_gen *gen, struct wf_gen_out in)
{
	struct wf_host *host = wf_host();
	if (gen->iterable) {
		struct weft_gen *outer = host->gen;
		host->gen = gen;
		struct wf_gen_out out = gen == call->target ? close_iterable(gen)
							    : ask_iterable(gen, in.code, in.value);
		wf_host()->gen = outer; /* as in enter() */
		return out;
	}
	if (!gen->begun && wf_strand_open(&gen->strand, run_body) != 0)
		return passes(-ENOMEM, NULL);
	gen->begun = true;
	enter(host, gen, in.code, in.value);
	if (gen->out.why == WF_GEN_ENDS)
		wf_strand_close(&gen->strand);
	return gen->out;
}

/* M1. For what is not a body, every error is one. */
static bool closed_well(const struct weft_gen *gen, int code)
{
	return code == 0 || (code == WEFT_GEN_EXIT && !gen->iterable);
}

/* `gen` is next to be closed; it finds WEFT_GEN_EXIT, or the error that closing what it delegated to has come to (`in`). */
static void close_next(struct call *call, struct weft_gen *gen, bool well, struct wf_gen_out *in)
{
	bool arrived = gen == call->root && !call->closes;
	call->target = arrived ? NULL : gen;
	if (well)
		*in = (struct wf_gen_out){.code = WEFT_GEN_EXIT, .value = arrived ? call->payload : NULL};
}

/* The call is over for its caller: an end of the root. */
static int finish(struct call *call, struct wf_gen_out end, void **out)
{
	struct weft_gen *root = call->root;
	bool closed = call->target == root && closed_well(root, end.code);
	if (closed)
		end = (struct wf_gen_out){.why = end.why};
	if (end.why == WF_GEN_PASSES) {
		wf_chain_suspend(root);
	} else {
		root->error = end.code;
		root->error_payload = end.code < 0 ? end.value : NULL;
		wf_chain_leave(root, true, false);
	}
	*out = end.value;
	return end.code < 0 || closed ? end.code : WEFT_GEN_DONE;
}

/* S31 of the seeds: delegating primes by itself. */
static void warn_of_primed(const struct weft_gen *sub)
{
#ifdef WF_DEBUG
	static wf_a32 warned;
	if (sub->primed && wf_swap_acq_rel32(&warned, 1) == 0) /* once */
		wf_log(WF_LOG_WARN,
			"weft_gen_delegate primes by itself: one made by weft_gen_new_primed loses a value");
#else
	(void)sub;
#endif
}

/* `gen`, running and innermost, has given `got` back: who has to go on is resumed, until the root yields or ends. */
static int drive(struct call *call, struct weft_gen *gen, struct wf_gen_out got, void **out)
{
	for (;; got = run(call, gen, got)) {
		struct wf_reached reached;
		switch (got.why) {
		case WF_GEN_YIELDS:
			if (WF_LIKELY(call->target == NULL)) {
				wf_chain_suspend(gen);
				*out = got.value;
				return WEFT_GEN_YIELDED;
			}
			*out = NULL;
			if (call->target == call->root) {
				wf_chain_suspend(gen);
				return -EPROTO;
			}
			gen = wf_chain_cut(call->target, gen);
			got = (struct wf_gen_out){.code = -EPROTO};
			close_next(call, gen, false, &got);
			break;
		case WF_GEN_DELEGATES:
			got = (struct wf_gen_out){.code = wf_chain_delegate(gen, got.value, &reached)};
			if (got.code == 0) {
				gen = reached.gen;
				got.code = reached.code;
				warn_of_primed(gen);
			}
			break;
		case WF_GEN_ENDS:
		case WF_GEN_PASSES:
			if (gen == call->root)
				return finish(call, got, out);
			bool was_target = gen == call->target, well = closed_well(gen, got.code);
			if (got.why == WF_GEN_ENDS) {
				gen->error = was_target && well ? 0 : got.code;
				gen->error_payload = gen->error < 0 ? got.value : NULL;
			}
			gen = wf_chain_leave(gen, got.why == WF_GEN_ENDS, true);
			if (was_target)
				close_next(call, gen, well, &got);
			break;
		}
	}
}

/* operate() when the right to run has been taken. */
static int operate_claimed(struct weft_gen *gen, const struct wf_reached *reached, int code,
	void *value, bool closes, void **out)
{
	struct weft_gen *first = reached->gen;
	struct wf_gen_out in = {.code = code, .value = value};
	if (first == gen && !gen->begun) {
		if (code == 0 && value != NULL) { /* there is no yield to take it */
			wf_chain_suspend(gen);
			*out = NULL;
			return -EINVAL;
		}
		if (code < 0 && !gen->iterable) {
			gen->error = closes ? 0 : code;
			gen->error_payload = value;
			wf_chain_leave(gen, true, false);
			*out = closes ? NULL : value;
			return gen->error;
		}
	}
	struct call call = {.root = gen, .closes = closes, .payload = value};
	if (code == WEFT_GEN_EXIT) {
		in = (struct wf_gen_out){.code = reached->code}; /* what closing the one below has come to */
		close_next(&call, first, reached->code == 0, &in);
	} else if (reached->alone && (reached->code < 0 || code == 0)) {
		bool refused = reached->code == 0 && reached->no_send && value != NULL;
		in = (struct wf_gen_out){.code = refused ? -ENOSYS : reached->code};
	}
	return drive(&call, first, run(&call, first, in), out);
}

/* `code` 0: send. WEFT_GEN_EXIT and `closes`: close. Else throw. */
static int operate(struct weft_gen *gen, int code, void *value, bool closes, void **out)
{
	struct wf_reached reached;
	switch (wf_chain_claim(gen, &reached)) {
	case WF_CLAIM_BUSY:
		*out = NULL;
		return -EBUSY;
	case WF_CLAIM_CLOSED:
		*out = code < 0 && !closes ? value : NULL;
		return closes ? 0 : code < 0 ? code : WEFT_GEN_DONE;
	case WF_CLAIM_OK:
		break;
	}
	return operate_claimed(gen, &reached, code, value, closes, out);
}

/* Who was stepped to has not yielded but ended, or delegates: the rest of the call, on the resumer's stack, for weft_gen_send to return. */
static int after_step(struct wf_context_call *after)
{
	struct weft_gen *gen =
		(struct weft_gen *)(void *)((char *)after - offsetof(struct weft_gen, step.after));
	struct call call = {.root = gen->step.root};
	void **out = gen->step.out;
	wf_host()->gen = gen->step.outer;
	if (gen->out.why == WF_GEN_ENDS)
		wf_strand_close(&gen->strand);
	return drive(&call, gen, gen->out, out);
}

static struct weft_gen *gen_new(void)
{
	struct weft_gen *gen = wf_alloc_zero(sizeof(*gen));
	if (gen == NULL)
		return NULL;
	wf_store_rlx32(&gen->references, 1); /* rlx: nobody knows it */
	gen->step.after.fn = after_step;
	return gen;
}

int weft_gen_new(weft_gen **gen, weft_fn body, void *arg)
{
	if (gen == NULL)
		return -EINVAL;
	*gen = NULL;
	if (body == NULL)
		return -EINVAL;
	struct weft_gen *made = gen_new();
	if (made == NULL)
		return -ENOMEM;
	made->body = body;
	made->arg = arg;
	*gen = made;
	return 0;
}

int weft_gen_new_primed(weft_gen **gen, weft_fn body, void *arg)
{
	struct weft_gen *made;
	int error = weft_gen_new(&made, body, arg);
	if (gen != NULL)
		*gen = NULL;
	else if (error == 0)
		error = -EINVAL;
	if (error == 0)
		error = weft_gen_next(made, NULL);
	if (error != WEFT_GEN_YIELDED) {
		weft_gen_free(made);
		return error;
	}
	made->primed = true;
	*gen = made;
	return 0;
}

int weft_gen_from_iter(weft_gen **gen, const weft_iter *iter)
{
	if (gen == NULL)
		return -EINVAL;
	*gen = NULL;
	if (iter == NULL || iter->next == NULL)
		return -EINVAL;
	struct weft_gen *made = gen_new();
	if (made == NULL)
		return -ENOMEM;
	made->iterable = true;
	made->iter = *iter;
	*gen = made;
	return 0;
}

/* What follows a claim, if a value is sent to a body that waits in a yield, as mostly: nothing of the call is left on this stack, and the
 * yield that ends it returns for it. */
static inline int step(struct weft_gen *root, struct weft_gen *gen, void *value, void **out)
{
	struct wf_host *host = wf_host();
	gen->step.on = true;
	gen->step.out = out != NULL ? out : &gen->unwanted;
	gen->step.root = root;
	gen->step.outer = host->gen;
	host->gen = gen;
	gen->primed = false;
	gen->code = 0;
	if (gen->sent != NULL)
		*gen->sent = value;
	gen->resumer = wf_host_strand(host);
	return wf_strand_step(host, &gen->strand);
}

/* In any state. */
static __attribute__((noinline)) int send_slowly(struct weft_gen *gen, void *value, void **out)
{
	void *unwanted;
	if (out == NULL)
		out = &unwanted;
	*out = NULL;
	return gen != NULL ? operate(gen, 0, value, false, out) : -EINVAL;
}

/* To one whose body has not begun. True: it is about to. */
static __attribute__((noinline)) bool begin(struct weft_gen *gen)
{
	uint32_t created = WEFT_GEN_CREATED;
	if (!wf_cas_acq_rel32(&gen->state, &created, WEFT_GEN_RUNNING)) /* GE-1 */
		return false;
	gen->begun = wf_strand_open(&gen->strand, run_body) == 0;
	if (!gen->begun)
		wf_chain_suspend(gen);
	return gen->begun;
}

/* To one that delegates. The leaf, if it is a suspended body as mostly; NULL: the call is over, *code is its result. */
static __attribute__((noinline)) struct weft_gen *reach_leaf(
	struct weft_gen *gen, void *value, void **out, int *code)
{
	struct wf_reached reached;
	void *unwanted;
	enum wf_claim claim = wf_chain_claim(gen, &reached);
	if (claim == WF_CLAIM_OK && !reached.alone && !reached.gen->iterable && reached.gen->begun)
		return reached.gen;
	if (out == NULL)
		out = &unwanted;
	*out = NULL;
	*code = claim == WF_CLAIM_OK	 ? operate_claimed(gen, &reached, 0, value, false, out)
		: claim == WF_CLAIM_BUSY ? -EBUSY
					 : WEFT_GEN_DONE;
	return NULL;
}

static inline int send(struct weft_gen *gen, void *value, void **out)
{
	uint32_t suspended = WEFT_GEN_SUSPENDED;
	if (WF_UNLIKELY(gen == NULL || !WF_STRANDS_STEP || gen->iterable))
		return send_slowly(gen, value, out);
	if (WF_LIKELY(wf_cas_acq_rel32(&gen->state, &suspended, WEFT_GEN_RUNNING))) /* GE-1 */
		return step(gen, gen, value, out);
	if (suspended == WEFT_GEN_CREATED && value == NULL && begin(gen))
		return step(gen, gen, NULL, out);
	if (suspended != WF_GEN_DELEGATING)
		return send_slowly(gen, value, out);
	int code;
	struct weft_gen *leaf = reach_leaf(gen, value, out, &code);
	return leaf != NULL ? step(gen, leaf, value, out) : code;
}

int weft_gen_next(weft_gen *gen, void **out)
{
	return send(gen, NULL, out);
}

int weft_gen_send(weft_gen *gen, void *value, void **out)
{
	return send(gen, value, out);
}

int weft_gen_throw(weft_gen *gen, int error, void *payload, void **out)
{
	void *unwanted;
	if (out == NULL)
		out = &unwanted;
	*out = NULL;
	if (gen == NULL || error >= 0)
		return -EINVAL;
	return operate(gen, error, payload, false, out);
}

int weft_gen_close(weft_gen *gen)
{
	void *unwanted;
	return gen == NULL ? -EINVAL : operate(gen, WEFT_GEN_EXIT, NULL, true, &unwanted);
}

enum weft_gen_state weft_gen_state(const weft_gen *gen)
{
	if (gen == NULL)
		return WEFT_GEN_CLOSED;
	uint32_t state = wf_load_acq32(&gen->state); /* GE-1 */
	if (state == WF_GEN_REACHED)
		return WEFT_GEN_RUNNING;
	if (state != WF_GEN_DELEGATING)
		return (enum weft_gen_state)state;
	return wf_chain_runs((struct weft_gen *)gen) ? WEFT_GEN_RUNNING : WEFT_GEN_SUSPENDED;
}

int weft_gen_error(const weft_gen *gen, void **payload)
{
	bool closed = gen != NULL && wf_load_acq32(&gen->state) == WEFT_GEN_CLOSED; /* GE-1 */
	if (payload != NULL)
		*payload = closed ? gen->error_payload : NULL;
	return closed ? gen->error : 0;
}

/* A body that has yielded instead of ending, or an iterable: nothing of it runs any more. */
static void abandon(struct weft_gen *gen)
{
	wf_chain_abandon(gen);
	if (gen->begun && !gen->iterable)
		wf_strand_close(&gen->strand);
	wf_chain_leave(gen, true, false);
}

void weft_gen_free(weft_gen *gen)
{
	if (gen == NULL)
		return;
	if (!gen->iterable || !gen->just_closed) {
		if (weft_gen_close(gen) == -EBUSY && weft_gen_state(gen) == WEFT_GEN_RUNNING)
			wf_fatal("weft_gen_free of a generator that is running");
	}
	if (wf_load_acq32(&gen->state) != WEFT_GEN_CLOSED) /* GE-1 */
		abandon(gen);
	wf_gen_unref(gen);
}

int weft_gen_yield(void *value, void **sent)
{
	struct wf_host *host = wf_host();
	struct weft_gen *gen = host->gen;
	if (WF_LIKELY(gen != NULL && !gen->iterable))
		return give_back(gen, host, WF_GEN_YIELDS, value, sent);
	if (sent != NULL)
		*sent = NULL;
	return -EPERM;
}

int weft_gen_delegate(weft_gen *sub, void **result)
{
	struct wf_host *host = wf_host();
	struct weft_gen *gen = host->gen;
	if (result != NULL)
		*result = NULL;
	if (gen == NULL || gen->iterable)
		return -EPERM;
	if (sub == NULL)
		return -EINVAL;
	if (sub == gen)
		return -EBUSY;
	return give_back(gen, host, WF_GEN_DELEGATES, sub, result);
}

void *weft_gen_raise(int error, void *payload)
{
	struct wf_host *host = wf_host();
	struct weft_gen *gen = host->gen;
	if (gen == NULL)
		return wf_coro_raise(host, error, payload);
	if (gen->iterable)
		return NULL;
	gen->raised = error;
	gen->payload = payload;
	return &gen->raised;
}
