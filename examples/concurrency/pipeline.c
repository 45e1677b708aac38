/* SPDX-License-Identifier: MIT */
/* pipeline.c - stages joined by channels; the last one says when it has enough
 *
 * Shows    channels between the children of a scope, each stage at its own pace within what the
 *          channels buffer; weft_chan_close as a word to both sides
 * Build    cc pipeline.c $(pkg-config --cflags --libs weft) -o pipeline
 * In tree  bazel run //examples/concurrency:pipeline
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <weft/weft.h>

#define STAGES 3
#define BUFFERED 4
#define WANTED 5

struct stage {
	weft_chan *in; /* NULL: the first */
	weft_chan *out;
};

/* A stage that ends closes both its channels: the next one hears that no more will come, the one
 * before that no more is wanted. So -EPIPE is how stages end, and no error. */
static int finish(const struct stage *stage, int error)
{
	weft_chan_close(stage->in);
	weft_chan_close(stage->out);
	return error == -EPIPE ? 0 : error;
}

/* Numbers without end: a full channel is what holds it back. */
static int count(void *arg)
{
	const struct stage *stage = arg;
	int error = 0;

	for (int64_t number = 1; error == 0; number++)
		error = weft_chan_send(stage->out, &number);
	return finish(stage, error);
}

static int keep_odd(void *arg)
{
	const struct stage *stage = arg;
	int64_t number;
	int error;

	while ((error = weft_chan_recv(stage->in, &number)) == 0)
		if (number % 2 != 0 && (error = weft_chan_send(stage->out, &number)) < 0)
			break;
	return finish(stage, error);
}

static int square(void *arg)
{
	const struct stage *stage = arg;
	int64_t number;
	int error;

	while ((error = weft_chan_recv(stage->in, &number)) == 0) {
		number *= number;
		if ((error = weft_chan_send(stage->out, &number)) < 0)
			break;
	}
	return finish(stage, error);
}

static int run_stages(weft_chan *const *chan)
{
	static const weft_task_fn body[STAGES] = {count, keep_odd, square};
	struct stage stage[STAGES];
	weft_scope scope;
	int64_t number;
	int error = weft_scope_open(&scope, WEFT_FOREVER);

	if (error < 0)
		return error;
	for (int i = 0; i < STAGES && error == 0; i++) {
		stage[i] = (struct stage){.in = i == 0 ? NULL : chan[i - 1], .out = chan[i]};
		error = weft_scope_spawn(&scope, body[i], &stage[i]);
	}
	for (int i = 0; i < WANTED && error == 0; i++)
		if ((error = weft_chan_recv(chan[STAGES - 1], &number)) == 0)
			printf("%lld\n", (long long)number);
	if (error < 0)
		weft_scope_cancel(&scope);
	weft_chan_close(chan[STAGES - 1]);
	int closed = weft_scope_close(&scope);
	/* -ECANCELED in the opener is only the echo of what close returns. */
	return error < 0 && error != -ECANCELED ? error : closed;
}

static void *start(void *arg)
{
	weft_chan *chan[STAGES] = {NULL};
	int error = 0;

	(void)arg;
	for (int i = 0; i < STAGES && error == 0; i++)
		error = weft_chan_new(&chan[i], sizeof(int64_t), BUFFERED);
	if (error == 0)
		error = run_stages(chan);
	if (error == 0)
		printf("every stage has ended\n");
	for (int i = 0; i < STAGES; i++)
		weft_chan_free(chan[i]);
	return (void *)(intptr_t)error;
}

int main(void)
{
	void *result = NULL;
	int error = weft_run(NULL, start, NULL, &result);

	if (error == 0)
		error = (int)(intptr_t)result;
	if (error < 0)
		fprintf(stderr, "pipeline: %s\n", strerror(-error));
	return error < 0;
}
