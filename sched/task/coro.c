/* SPDX-License-Identifier: MIT */
/* coro.c - see coro.h */
#include "sched/task/coro.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <weft/coro.h>

#include "sched/base/alloc.h"
#include "sched/base/check.h"
#include "sched/core/spawn.h"

/* CO-3. */
enum life {
	NEW,
	LIVE, /* started: current, or suspended in a switch */
	DEAD,
};

struct weft_coro {
	wf_a32 life;
	bool is_main;
	weft_fn fn;
	struct weft_coro *parent;
	wf_aptr owner;	 /* R1, CO-3 */
	wf_a32 current;	 /* CO-3: some host is on it; for weft_coro_free */
	wf_a32 children; /* R4; a main one's are references */
	/* While it is not current. */
	struct wf_strand *at;
	struct weft_gen *gen;
	/* What its switch returns: 0 and a value, or an error and its payload; at the start the argument. */
	int code;
	void *value;
	int raised; /* weft_gen_raise; its address is what that returns */
	void *payload;
	struct wf_strand strand;
	/* A main one's. */
	wf_a32 references;	/* its host, its children, and those it owns */
	struct wf_host *host;	/* NULL: has ended */
	struct weft_coro *left; /* R3: whom the host has just left */
	bool left_ended;
};

static pthread_key_t thread_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int key_error;

static struct weft_coro *of_strand(struct wf_strand *strand)
{
	return (struct weft_coro *)(void *)((char *)strand - offsetof(struct weft_coro, strand));
}

static uint32_t life_of(const struct weft_coro *coro)
{
	return wf_load_acq32(&coro->life); /* CO-3 */
}

static void set_life(struct weft_coro *coro, enum life life)
{
	wf_store_rel32(&coro->life, life); /* CO-3 */
}

static struct weft_coro *owner_of(const struct weft_coro *coro)
{
	return wf_load_acqp(&coro->owner); /* CO-3 */
}

static void unref(struct weft_coro *main)
{
	if (wf_add_acq_rel32(&main->references, UINT32_MAX) == 1) /* CO-1 */
		wf_free(main, sizeof(*main));
}

static void set_owner(struct weft_coro *coro, struct weft_coro *main)
{
	struct weft_coro *before = owner_of(coro);
	if (main != NULL)
		wf_add_acq_rel32(&main->references, 1); /* CO-1 */
	wf_store_relp(&coro->owner, main);		/* CO-3 */
	if (before != NULL)
		unref(before);
}

static void link_parent(struct weft_coro *coro, struct weft_coro *parent)
{
	struct weft_coro *before = coro->parent;
	if (parent != NULL)
		wf_add_acq_rel32(parent->is_main ? &parent->references : &parent->children, 1); /* CO-1, CO-2 */
	coro->parent = parent;
	if (before != NULL && before->is_main)
		unref(before);
	else if (before != NULL)
		wf_add_acq_rel32(&before->children, UINT32_MAX); /* CO-2 */
}

/* A host has come to its end. */
static void end_host(struct wf_host *host)
{
	struct weft_coro *main = host->main;
	host->main = NULL;
	main->host = NULL;
	set_life(main, DEAD);
	unref(main);
}

static void end_thread(void *main)
{
	end_host(((struct weft_coro *)main)->host);
}

static void make_key(void)
{
	key_error = pthread_key_create(&thread_end, end_thread);
	wf_store_relp(&wf_coro_end, (void *)end_host);
}

/* The host's main coroutine; NULL: no memory. */
static struct weft_coro *main_of(struct wf_host *host)
{
	if (WF_LIKELY(host->main != NULL))
		return host->main;
	pthread_once(&once, make_key);
	struct weft_coro *main = key_error == 0 ? wf_alloc_zero(sizeof(*main)) : NULL;
	if (main == NULL)
		return NULL;
	if (wf_current() == NULL && pthread_setspecific(thread_end, main) != 0) {
		wf_free(main, sizeof(*main));
		return NULL;
	}
	set_life(main, LIVE);
	main->is_main = true;
	wf_store_relp(&main->owner, main); /* CO-3 */
	wf_store_rel32(&main->current, 1); /* CO-3 */
	main->host = host;
	wf_store_rlx32(&main->references, 1); /* rlx: nobody knows it */
	host->main = main;
	return main;
}

static struct weft_coro *current(struct wf_host *host)
{
	return host->coro != NULL ? host->coro : main_of(host);
}

/* R3: on the strand that goes on, before anything of the user's. */
static void arrive(struct weft_coro *main)
{
	struct weft_coro *left = main->left;
	if (main->left_ended)
		wf_strand_close(&left->strand);
	wf_store_rel32(&left->current, 0); /* CO-3 */
	if (main->left_ended)
		set_life(left, DEAD); /* from here on it may be released */
}

/* Whom a value (code 0) or an error for `target` reaches; NULL: nobody. */
static struct weft_coro *find_receiver(struct weft_coro *target, int code)
{
	while (target != NULL && (life_of(target) == DEAD || (life_of(target) == NEW && code < 0))) {
		if (code == WEFT_GEN_EXIT) /* a normal end of the one that it ends, or did not find alive */
			code = 0;
		target = target->parent;
	}
	return target;
}

enum right {
	MINE,	  /* LIVE, and of this host */
	TO_START, /* NEW */
	NOT_MINE,
};

/* One look at its life: another host may start it at any moment. */
static enum right right_to(const struct weft_coro *receiver, const struct weft_coro *main)
{
	uint32_t life = receiver != NULL ? life_of(receiver) : DEAD;
	if (life == NEW)
		return TO_START;
	return life == LIVE && owner_of(receiver) == main ? MINE : NOT_MINE;
}

/* Makes it so: those on the way that were not started are dead. Returns what arrives, 0 or the error. */
static int pass_through(struct weft_coro *target, const struct weft_coro *receiver, int code)
{
	for (; target != receiver; target = target->parent) {
		set_life(target, DEAD);
		if (code == WEFT_GEN_EXIT)
			code = 0;
	}
	return code;
}

static struct wf_strand *run(struct wf_strand *self);

/* R2: `from` has switched to it; NULL: one that ends has it as parent. */
static int start(struct weft_coro *coro, struct weft_coro *main, struct weft_coro *from)
{
	struct wf_strand strand = {0};
	uint32_t fresh = NEW;
	int error = wf_strand_open(&strand, run);
	if (error != 0)
		return error;
	if (!wf_cas_acq_rel32(&coro->life, &fresh, LIVE)) { /* CO-3: another host was quicker */
		wf_strand_close(&strand);
		return -EXDEV;
	}
	coro->strand = strand;
	coro->at = &coro->strand;
	set_owner(coro, main);
	struct weft_coro *owner = owner_of(coro->parent), *parent = from != NULL ? from : main;
	if (owner == NULL || owner == main)
		return 0;
	for (const struct weft_coro *up = parent; up != NULL; up = up->parent)
		if (up == coro)
			parent = main; /* which descends from nobody */
	link_parent(coro, parent);
	return 0;
}

/* The host is `to` from now on, and the switch it waits in returns so. */
static void become(struct wf_host *host, struct weft_coro *to, int code, void *value)
{
	to->code = code;
	to->value = value;
	host->coro = to->is_main ? NULL : to;
	host->gen = to->gen;
	wf_store_rel32(&to->current, 1); /* CO-3 */
}

static void leave_for(
	struct wf_host *host, struct weft_coro *from, struct weft_coro *to, int code, void *value)
{
	from->at = wf_host_strand(host);
	from->gen = host->gen;
	host->main->left = from;
	host->main->left_ended = false;
	become(host, to, code, value);
	wf_strand_switch(host, to->at, 0);
	arrive(owner_of(from)); /* the owner of the host that has switched back: another one only in weft_coro_free */
}

/* Where control goes when `coro`, of `main`, has ended. Sets what arrives there. */
static struct weft_coro *successor(struct weft_coro *coro, struct weft_coro *main, int *code, void **value)
{
	for (struct weft_coro *target = coro->parent;;) {
		struct weft_coro *receiver = find_receiver(target, *code);
		enum right right = right_to(receiver, main);
		if (right == NOT_MINE)
			return main; /* a parent that was started elsewhere meanwhile */
		*code = pass_through(target, receiver, *code);
		int error = right == TO_START ? start(receiver, main, NULL) : 0;
		if (error == 0)
			return receiver;
		if (error == -EXDEV)
			return main;
		*code = error; /* which ends it, too */
		*value = NULL;
		target = receiver;
	}
}

static struct wf_strand *run(struct wf_strand *self)
{
	struct weft_coro *coro = of_strand(self);
	arrive(owner_of(coro));
	void *value = coro->fn(coro->value);
	int code = 0;
	if (value == &coro->raised) {
		code = coro->raised >= 0		? -EPROTO
			: coro->raised == WEFT_GEN_EXIT ? 0
							: coro->raised;
		value = coro->raised >= 0 ? NULL : coro->payload;
	}
	struct wf_host *host = wf_host();
	struct weft_coro *main = owner_of(coro);
	struct weft_coro *to = successor(coro, main, &code, &value);
	main->left = coro;
	main->left_ended = true;
	become(host, to, code, value);
	return to->at;
}

/* A switch (code 0) or a throw. */
static int go(struct weft_coro *target, int code, void *value, void **out)
{
	struct wf_host *host = wf_host();
	struct weft_coro *from = target != NULL ? current(host) : NULL;
	struct weft_coro *main = host->main;
	void *unwanted;
	if (out == NULL)
		out = &unwanted;
	*out = NULL;
	if (target == NULL)
		return -EINVAL;
	if (from == NULL)
		return -ENOMEM;
	struct weft_coro *receiver = find_receiver(target, code);
	enum right right = right_to(receiver, main);
	int error = right == TO_START ? start(receiver, main, from) : right == MINE ? 0 : -EXDEV;
	if (error != 0)
		return error;
	code = pass_through(target, receiver, code);
	if (receiver == from) {
		*out = value;
		return code;
	}
	leave_for(host, from, receiver, code, value);
	*out = from->value;
	return from->code;
}

int weft_coro_new(weft_coro **coro, weft_fn fn, weft_coro *parent)
{
	if (coro == NULL)
		return -EINVAL;
	*coro = NULL;
	if (fn == NULL)
		return -EINVAL;
	if (parent == NULL)
		parent = current(wf_host());
	struct weft_coro *made = parent != NULL ? wf_alloc_zero(sizeof(*made)) : NULL;
	if (made == NULL)
		return -ENOMEM;
	made->fn = fn;
	link_parent(made, parent);
	*coro = made;
	return 0;
}

int weft_coro_switch(weft_coro *target, void *value, void **out)
{
	return go(target, 0, value, out);
}

int weft_coro_throw(weft_coro *target, int error, void *payload, void **out)
{
	if (error >= 0) {
		if (out != NULL)
			*out = NULL;
		return -EINVAL;
	}
	return go(target, error, payload, out);
}

int weft_coro_set_parent(weft_coro *coro, weft_coro *parent)
{
	if (coro == NULL || parent == NULL || coro->is_main)
		return -EINVAL;
	for (const struct weft_coro *ancestor = parent; ancestor != NULL; ancestor = ancestor->parent)
		if (ancestor == coro)
			return -ELOOP;
	if (life_of(coro) == LIVE && owner_of(parent) != NULL && owner_of(parent) != owner_of(coro))
		return -EXDEV;
	link_parent(coro, parent);
	return 0;
}

weft_coro *weft_coro_current(void)
{
	return current(wf_host());
}

weft_coro *weft_coro_parent(weft_coro *coro)
{
	return coro != NULL ? coro->parent : NULL;
}

bool weft_coro_dead(const weft_coro *coro)
{
	return coro == NULL || life_of(coro) == DEAD;
}

/* A suspended one is resumed for the last time. */
static void unwind(struct weft_coro *coro, struct wf_host *host)
{
	struct weft_coro *from = current(host);
	if (from == NULL)
		wf_fatal("weft_coro_free: no memory to unwind the coroutine");
	link_parent(coro, from);
	set_owner(coro, host->main); /* R1 */
	leave_for(host, from, coro, WEFT_GEN_EXIT, NULL);
	if (life_of(coro) == LIVE)
		wf_strand_close(&coro->strand);
}

/* R4. */
static void check_childless(const struct weft_coro *coro)
{
	if (wf_load_acq32(&coro->children) != 0) /* CO-2 */
		wf_fatal("weft_coro_free of a coroutine that is a parent: free its children first, or give them another");
}

void weft_coro_free(weft_coro *coro)
{
	if (coro == NULL)
		return;
	struct wf_host *host = wf_host();
	if (coro->is_main)
		wf_fatal("weft_coro_free of a main coroutine");
	if (wf_load_acq32(&coro->current)) /* CO-3 */
		wf_fatal("weft_coro_free of the coroutine that is current");
	check_childless(coro);
	if (life_of(coro) == LIVE) {
		unwind(coro, host);
		check_childless(coro);
	}
	link_parent(coro, NULL);
	set_owner(coro, NULL);
	wf_free(coro, sizeof(*coro));
}

void *wf_coro_raise(struct wf_host *host, int error, void *payload)
{
	struct weft_coro *coro = host->coro;
	if (coro == NULL)
		return NULL;
	coro->raised = error;
	coro->payload = payload;
	return &coro->raised;
}
