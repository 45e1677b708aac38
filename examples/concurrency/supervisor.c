/* SPDX-License-Identifier: MIT */
/* supervisor.c - starts services in order, restarts those that fail, gives up at a limit, and stops
 *                them in the reverse order
 *
 * Shows    a scope for each service, nested as the services depend on each other; reports over a
 *          channel; weft_event for "it is up"; shielded clean-up that the next stop waits for
 * Build    cc supervisor.c $(pkg-config --cflags --libs weft) -o supervisor
 * In tree  bazel run //examples/concurrency:supervisor
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <weft/weft.h>

#define SERVICES 3
#define RESTARTS_MAX 2
#define PAUSE (10 * WEFT_MS)

struct service {
	const char *name;
	weft_task_fn run; /* until it is cancelled, or fails */
	int restarts;
	int error;	  /* why it ended */
	weft_chan *ended; /* where it says so: struct service * */
	weft_event up;
	weft_scope scope; /* of this service alone */
};

/* Works until it is told to stop, and then still has something to write. */
static int keep_store(void *arg)
{
	(void)arg;
	int error = weft_sleep(WEFT_FOREVER);
	bool was = weft_shield(true);
	weft_sleep(20 * WEFT_MS);
	printf("store: written\n");
	weft_shield(was);
	return error;
}

static int keep_cache(void *arg)
{
	(void)arg;
	return weft_sleep(WEFT_FOREVER);
}

static int fetch(void *arg)
{
	(void)arg;
	int error = weft_sleep(PAUSE);
	return error < 0 ? error : -EHOSTUNREACH;
}

/* The fiber of a service. A failure is reported, not returned: returned, it would cancel the scope
 * and with it those inside, in no order. */
static int live(void *arg)
{
	struct service *service = arg;

	printf("%s: up\n", service->name);
	weft_event_set(&service->up);
	service->error = service->run(service);
	if (service->error == -ECANCELED) {
		printf("%s: stopped\n", service->name);
		return 0;
	}
	return weft_chan_try_send(service->ended, &service);
}

/* Returns when it is up: the next one may count on it. */
static int start_service(struct service *service)
{
	weft_event_reset(&service->up);
	int error = weft_scope_spawn(&service->scope, live, service);
	return error < 0 ? error : weft_event_wait(&service->up);
}

/* Until one has failed too often (then its error), or the supervisor is to end. */
static int supervise(weft_chan *ended)
{
	struct service *down;
	int error;

	while ((error = weft_chan_recv(ended, &down)) == 0) {
		printf("%s: %s\n", down->name, strerror(-down->error));
		if (down->restarts == RESTARTS_MAX)
			return down->error;
		down->restarts++;
		printf("%s: restart %d of %d\n", down->name, down->restarts, RESTARTS_MAX);
		error = weft_sleep(down->restarts * PAUSE);
		if (error == 0)
			error = start_service(down);
		if (error < 0)
			break;
	}
	return error;
}

static int run(struct service *service, weft_chan *ended)
{
	int open = 0;
	int error = 0;

	while (open < SERVICES && error == 0) {
		service[open].ended = ended;
		error = weft_scope_open(&service[open].scope, WEFT_FOREVER);
		if (error == 0)
			error = start_service(&service[open++]);
	}
	if (error == 0)
		error = supervise(ended);
	/* Innermost first, as scopes close: what was started last is stopped first, and each has ended
	 * before the one it depends on is told. */
	while (open-- > 0) {
		weft_scope_cancel(&service[open].scope);
		weft_scope_close(&service[open].scope);
	}
	return error;
}

static void *start(void *arg)
{
	struct service service[SERVICES] = {
		{.name = "store", .run = keep_store},
		{.name = "cache", .run = keep_cache},
		{.name = "fetcher", .run = fetch},
	};
	weft_chan *ended;
	int error = weft_chan_new(&ended, sizeof(struct service *), SERVICES);

	(void)arg;
	if (error < 0)
		return (void *)(intptr_t)error;
	error = run(service, ended);
	printf("supervisor: %s\n", strerror(-error));
	weft_chan_free(ended);
	return (void *)(intptr_t)(error == -EHOSTUNREACH ? 0 : error); /* as was to be shown */
}

int main(void)
{
	void *result = NULL;
	int error = weft_run(NULL, start, NULL, &result);

	if (error == 0)
		error = (int)(intptr_t)result;
	if (error < 0)
		fprintf(stderr, "supervisor: %s\n", strerror(-error));
	return error < 0;
}
