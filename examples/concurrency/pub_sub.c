/* SPDX-License-Identifier: MIT */
/* pub_sub.c - publishers, subscribers, and a broker between them that waits for nobody
 *
 * Shows    weft_select over two channels; data owned by one fiber and reached by asking it, without
 *          a lock; a slow reader that misses messages and holds nobody up
 * Build    cc pub_sub.c $(pkg-config --cflags --libs weft) -o pub_sub
 * In tree  bazel run //examples/concurrency:pub_sub
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <weft/weft.h>

#define READERS 3
#define MESSAGES 5

struct message {
	const char *topic;
	int number;
};

/* The broker writes `missed`, its own fiber what it received; both are looked at when the scope has
 * closed. */
struct reader {
	const char *name;
	const char *topic;
	size_t room;	  /* of its inbox */
	weft_event *read; /* NULL, or what it waits for before it reads */
	weft_chan *inbox;
	int missed;
	int received;
	int sum;
};

/* Both are a rendezvous: when the send returns the broker has it, so what is published after a
 * subscription is not missed. */
struct broker {
	weft_chan *subscribe; /* struct reader * */
	weft_chan *publish;   /* struct message */
	weft_event over;
};

static void distribute(const struct message *message, struct reader **reader, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(reader[i]->topic, message->topic) == 0 &&
			weft_chan_try_send(reader[i]->inbox, message) == -EAGAIN)
			reader[i]->missed++;
}

/* The only fiber that sees the list, until nothing more is published. */
static int run_broker(void *arg)
{
	struct broker *broker = arg;
	struct reader *reader[READERS];
	size_t count = 0;
	struct reader *added;
	struct message message;
	weft_case cases[] = {
		{.op = WEFT_CASE_RECV, .chan = broker->subscribe, .element = &added},
		{.op = WEFT_CASE_RECV, .chan = broker->publish, .element = &message},
	};
	int index;

	while ((index = weft_select(cases, 2, WEFT_FOREVER)) >= 0 && cases[index].status == 0) {
		if (index == 1)
			distribute(&message, reader, count);
		else if (count < READERS)
			reader[count++] = added;
	}
	for (size_t i = 0; i < count; i++)
		weft_chan_close(reader[i]->inbox);
	weft_event_set(&broker->over);
	return index < 0 ? index : 0;
}

static int read_inbox(void *arg)
{
	struct reader *reader = arg;
	struct message message;
	int error = reader->read == NULL ? 0 : weft_event_wait(reader->read);

	while (error == 0 && (error = weft_chan_recv(reader->inbox, &message)) == 0) {
		reader->received++;
		reader->sum += message.number;
	}
	return error == -EPIPE ? 0 : error;
}

static int publish(void *arg)
{
	struct broker *broker = arg;
	int error = 0;

	for (int i = 1; i <= MESSAGES && error == 0; i++) {
		struct message news = {.topic = "news", .number = i};
		struct message sport = {.topic = "sport", .number = 10 * i};
		error = weft_chan_send(broker->publish, &news);
		if (error == 0)
			error = weft_chan_send(broker->publish, &sport);
	}
	weft_chan_close(broker->publish);
	return error;
}

static int run(struct broker *broker, struct reader *reader)
{
	weft_scope scope;
	int error = weft_scope_open(&scope, WEFT_FOREVER);

	if (error < 0)
		return error;
	error = weft_scope_spawn(&scope, run_broker, broker);
	for (int i = 0; i < READERS && error == 0; i++) {
		struct reader *added = &reader[i];
		error = weft_chan_new(&added->inbox, sizeof(struct message), added->room);
		if (error == 0)
			error = weft_chan_send(broker->subscribe, &added);
		if (error == 0)
			error = weft_scope_spawn(&scope, read_inbox, added);
	}
	if (error == 0)
		error = weft_scope_spawn(&scope, publish, broker);
	if (error < 0)
		weft_scope_cancel(&scope);
	int closed = weft_scope_close(&scope);
	return error < 0 && error != -ECANCELED ? error : closed;
}

static void *start(void *arg)
{
	struct broker broker = {.over = WEFT_EVENT_INIT};
	struct reader reader[READERS] = {
		{.name = "ada", .topic = "news", .room = MESSAGES},
		{.name = "ben", .topic = "sport", .room = MESSAGES},
		{.name = "cleo", .topic = "news", .room = 2, .read = &broker.over},
	};
	int error = weft_chan_new(&broker.subscribe, sizeof(struct reader *), 0);

	(void)arg;
	if (error == 0)
		error = weft_chan_new(&broker.publish, sizeof(struct message), 0);
	if (error == 0)
		error = run(&broker, reader);
	for (int i = 0; i < READERS; i++) {
		if (error == 0)
			printf("%s, %s: %d received, sum %d, %d missed\n", reader[i].name,
				reader[i].topic, reader[i].received, reader[i].sum, reader[i].missed);
		weft_chan_free(reader[i].inbox);
	}
	weft_chan_free(broker.publish);
	weft_chan_free(broker.subscribe);
	return (void *)(intptr_t)error;
}

int main(void)
{
	void *result = NULL;
	int error = weft_run(NULL, start, NULL, &result);

	if (error == 0)
		error = (int)(intptr_t)result;
	if (error < 0)
		fprintf(stderr, "pub_sub: %s\n", strerror(-error));
	return error < 0;
}
