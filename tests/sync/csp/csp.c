/* SPDX-License-Identifier: MIT */
/* csp.c - runs a program of processes and channels on weft
 *
 * What     Each process is a fiber of one scope, which has a deadline. Virtual time gets there only when all are parked for ever: so a call
 *          that is late by the scope's deadline tells where its process is stuck.
 * Checks   Beyond the outcome, as events with the value CSP_BROKEN: a call writes nothing but what it received, and all of that; who receives
 *          a value sees what its sender wrote before (notes); a mutex has one holder (inside).
 */
#include "tests/sync/csp/program.h"

#include <errno.h>
#include <string.h>

#include <weft/weft.h>

#define TICK WEFT_MS

struct process {
	struct machine *machine;
	struct csp_trace *trace;
	unsigned index, pc, rounds;
	unsigned held; /* mutexes, as bits */
	uint64_t noise;
	uint16_t last;		    /* received */
	uint32_t notes[CSP_EVENTS]; /* written before the event's call, read by who received its value */
};

struct machine {
	const struct csp_program *program;
	weft_chan *chans[CSP_CHANS];
	weft_mutex mutexes[CSP_MUTEXES];
	unsigned inside[CSP_MUTEXES]; /* holders */
	weft_waitgroup work;
	weft_scope scope;
	weft_ns end; /* the scope's deadline */
	struct process processes[CSP_PROCS];
};

/* A step's cases, ready for weft_select, and the elements they send or receive. */
struct calls {
	struct weft_case cases[CSP_CASES];
	uint32_t elements[CSP_CASES][CSP_WORDS];
	uint32_t before[CSP_CASES][CSP_WORDS]; /* as they were */
	unsigned words[CSP_CASES];
};

#define UNWRITTEN 0x5a /* each byte of what nobody wrote */

static void record(struct process *self, unsigned which, unsigned status, unsigned value)
{
	if (self->trace->count < CSP_EVENTS)
		self->trace->events[self->trace->count++] = csp_event(which, status, value);
}

static void expect(struct process *self, bool holds)
{
	if (!holds)
		record(self, 0, CSP_OK, CSP_BROKEN);
}

/* Now and then, lets others go first. */
static void disturb(struct process *self)
{
	self->noise = self->noise * 6364136223846793005u + 1442695040888963407u;
	unsigned draw = (unsigned)(self->noise >> 60);
	for (unsigned i = 9; i < draw && draw < 13; i++)
		weft_yield();
	for (volatile unsigned i = 0; draw >= 13 && i < (draw - 12) * 400; i++)
		continue;
}

static void prepare(struct process *self, const struct csp_step *step, struct calls *calls)
{
	struct machine *m = self->machine;
	unsigned event = self->trace->count;
	memset(calls->elements, UNWRITTEN, sizeof(calls->elements));
	for (unsigned k = 0; k < step->count; k++) {
		const struct csp_case *c = &step->cases[k];
		calls->words[k] = c->chan < 0 ? 0 : m->program->chans[c->chan].words;
		for (unsigned i = 0; c->send && i < calls->words[k]; i++)
			calls->elements[k][i] =
				step->forward ? self->last : csp_value(self->index, event, k);
		calls->cases[k] = (weft_case){
			.op = c->send ? WEFT_CASE_SEND : WEFT_CASE_RECV,
			.chan = c->chan < 0 ? NULL : m->chans[c->chan],
			.element = calls->words[k] == 0 ? NULL : calls->elements[k],
			.status = -EBADE,
		};
	}
	memcpy(calls->before, calls->elements, sizeof(calls->before));
	if (event < CSP_EVENTS)
		self->notes[event] = event + 1;
}

/* The call itself; *which is the case it performed. */
static int perform(const struct csp_step *step, struct calls *calls, unsigned *which)
{
	weft_case *c = &calls->cases[0];
	weft_ns deadline = step->ticks > 0 ? weft_after(step->ticks * TICK) : WEFT_FOREVER;
	int result = 0;
	if (!step->argument && step->ticks > 0)
		weft_deadline(deadline);
	if (step->op == CSP_SELECT)
		result = weft_select(c, step->count,
			step->poll		 ? 0
				: step->argument ? deadline
						 : WEFT_FOREVER);
	else if (c->op == WEFT_CASE_SEND)
		c->status = (step->poll ? weft_chan_try_send : weft_chan_send)(c->chan, c->element);
	else
		c->status = (step->poll ? weft_chan_try_recv : weft_chan_recv)(c->chan, c->element);
	if (!step->argument && step->ticks > 0)
		weft_deadline(WEFT_FOREVER);
	*which = result < 0 ? 0 : (unsigned)result;
	return result < 0 ? result : *which < step->count ? calls->cases[*which].status : -EBADE;
}

/* What was received in case k; CSP_BROKEN when it is not what somebody has sent. */
static unsigned received(struct process *self, struct calls *calls, unsigned k)
{
	if (calls->words[k] == 0)
		return 0;
	uint32_t value = calls->elements[k][0];
	for (unsigned i = 0; i < calls->words[k]; i++)
		calls->before[k][i] = value;
	unsigned sender = value / CSP_CASES / 32, event = value / CSP_CASES % 32;
	if (sender > CSP_PROCS || event >= CSP_EVENTS)
		return CSP_BROKEN;
	if (sender > 0 && self->machine->processes[sender - 1].notes[event] != event + 1)
		return CSP_BROKEN;
	self->last = (uint16_t)value;
	return value;
}

/* False: the process is stuck in it. */
static bool communicate(struct process *self, const struct csp_step *step, int *error)
{
	struct calls calls;
	unsigned which, value = 0;
	prepare(self, step, &calls);
	*error = perform(step, &calls, &which);
	if (*error == -ETIMEDOUT && weft_now() >= self->machine->end)
		return false;
	if (*error == 0 && !step->cases[which].send)
		value = received(self, &calls, which);
	if (memcmp(calls.elements, calls.before, sizeof(calls.before)) != 0)
		value = CSP_BROKEN;
	if (*error == 0 || *error == -EPIPE)
		record(self, which, *error == 0 ? CSP_OK : CSP_CLOSED, value);
	else if (*error == -EAGAIN && step->poll)
		record(self, which, CSP_AGAIN, value);
	else
		record(self, which, CSP_LATE,
			*error == -ETIMEDOUT && step->ticks > 0 ? value : CSP_BROKEN);
	return true;
}

/* False: the process is stuck in it. Who holds a mutex already may meet another who does, crosswise: it must be able to give up. */
static bool lock(struct process *self, unsigned mutex)
{
	struct machine *m = self->machine;
	if (self->held == 0)
		weft_mutex_lock(&m->mutexes[mutex]);
	else if (weft_mutex_lock_by(&m->mutexes[mutex], WEFT_FOREVER) != 0)
		return false;
	self->held |= 1u << mutex;
	expect(self, m->inside[mutex]++ == 0);
	/* Late: its holder has given it up because all are stuck. */
	return weft_now() < m->end;
}

static void unlock(struct process *self, unsigned mutex)
{
	self->held &= ~(1u << mutex);
	self->machine->inside[mutex]--;
	expect(self, weft_mutex_unlock(&self->machine->mutexes[mutex]) == 0);
}

static int run_process(void *arg);

/* False: the process is stuck in the step. */
static bool do_step(struct process *self, const struct csp_step *step)
{
	struct machine *m = self->machine;
	int error = 0;
	switch (step->op) {
	case CSP_CALL:
	case CSP_SELECT:
		return communicate(self, step, &error);
	case CSP_DRAIN:
		while (error == 0)
			if (!communicate(self, step, &error))
				return false;
		return true;
	case CSP_CLOSE:
		error = weft_chan_close(m->chans[step->arg]);
		record(self, 0, error == 0 ? CSP_OK : CSP_CLOSED,
			error == 0 || error == -EPIPE ? 0 : CSP_BROKEN);
		return true;
	case CSP_SPAWN:
		expect(self, weft_scope_spawn(&m->scope, run_process, &m->processes[step->arg]) == 0);
		return true;
	case CSP_LOCK:
		return lock(self, step->arg);
	case CSP_UNLOCK:
		unlock(self, step->arg);
		return true;
	case CSP_DONE:
		expect(self, weft_waitgroup_done(&m->work) == 0);
		return true;
	case CSP_WAIT:
		return weft_waitgroup_wait(&m->work) == 0;
	case CSP_YIELD:
		weft_yield();
		return true;
	case CSP_LOOP:
		if (++self->rounds < step->rounds)
			self->pc = step->arg - 1u; /* which is counted on */
		else
			self->rounds = 0;
		return true;
	}
	return true;
}

static int run_process(void *arg)
{
	struct process *self = arg;
	const struct csp_program *program = self->machine->program;
	unsigned count = program->procs[self->index].count;
	for (; self->pc < count; self->pc++) {
		disturb(self);
		if (!do_step(self, &program->procs[self->index].steps[self->pc]))
			break;
	}
	self->trace->end = (uint16_t)(self->pc == count ? CSP_ENDED : CSP_STUCK + self->pc);
	for (unsigned i = 0; i < CSP_MUTEXES; i++)
		if (self->held & 1u << i)
			unlock(self, i);
	return 0;
}

static void take_rest(weft_chan *chan, struct csp_rest *rest)
{
	rest->count = (uint16_t)weft_chan_len(chan);
	for (unsigned i = 0; i < rest->count && i < CSP_BUFFER; i++) {
		uint32_t element[CSP_WORDS] = {0};
		rest->values[i] =
			weft_chan_try_recv(chan, element) == 0 ? (uint16_t)element[0] : CSP_BROKEN;
	}
}

int csp_run(const struct csp_program *program, uint64_t noise, struct csp_outcome *outcome)
{
	struct machine m = {.program = program, .end = weft_after(1000 * TICK)};
	memset(outcome, 0, sizeof(*outcome));
	int error = weft_scope_open(&m.scope, m.end);
	if (error == 0)
		error = weft_waitgroup_add(&m.work, program->work);
	for (unsigned c = 0; c < program->chan_count && error == 0; c++)
		error = weft_chan_new(
			&m.chans[c], program->chans[c].words * 4u, program->chans[c].capacity);
	for (unsigned p = 0; p < program->proc_count; p++)
		m.processes[p] = (struct process){
			.machine = &m, .trace = &outcome->procs[p], .index = p, .noise = noise * 8 + p};
	for (unsigned p = 0; p < program->proc_count && error == 0; p++)
		if (!program->procs[p].spawned)
			error = weft_scope_spawn(&m.scope, run_process, &m.processes[p]);
	if (error != 0)
		return error;
	error = weft_scope_close(&m.scope);
	bool stuck = false;
	for (unsigned p = 0; p < program->proc_count; p++)
		stuck |= outcome->procs[p].end >= CSP_STUCK;
	for (unsigned c = 0; c < program->chan_count; c++) {
		take_rest(m.chans[c], &outcome->chans[c]);
		weft_chan_free(m.chans[c]);
	}
	return error == (stuck ? -ETIMEDOUT : 0) ? 0 : error < 0 ? error : -EBADE;
}
