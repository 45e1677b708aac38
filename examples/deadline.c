/* SPDX-License-Identifier: MIT */
/* deadline.c - giving up in time, and ending another fiber that cleans up behind itself
 *
 * Shows    weft_deadline around a call, weft_cancel, weft_shield for clean-up that has to block
 * Build    cc deadline.c $(pkg-config --cflags --libs weft) -o deadline
 * In tree  bazel run //examples:deadline
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <weft/weft.h>

/* A deadline belongs to the fiber and bounds whatever it calls. A function that wants a sooner one
 * sets it and puts the old one back, so that its caller's still holds. */
static ssize_t read_within(int fd, char *text, size_t size, weft_ns limit)
{
	weft_ns mine = weft_after(limit);
	weft_ns old = weft_deadline(mine);

	if (old < mine)
		weft_deadline(old);
	ssize_t length = weft_read(fd, text, size);
	weft_deadline(old);
	return length;
}

/* Works until it is cancelled, then says goodbye through the pipe. */
static void *session(void *arg)
{
	const int *fd = arg;
	int error;

	while ((error = weft_sleep(WEFT_SEC)) == 0)
		printf("session: at work\n");
	printf("session: weft_sleep says %s\n", strerror(-error));

	/* From now on each blocking call would fail at once. Clean-up that has to block is shielded;
	 * the fiber's own deadline stays in force, so it cannot take for ever. */
	bool was = weft_shield(true);
	weft_deadline(weft_after(2 * WEFT_SEC));
	ssize_t sent = weft_write_full(*fd, "goodbye", 7);
	weft_shield(was);
	return (void *)(intptr_t)(sent == 7 ? 0 : -1);
}

static void *start(void *arg)
{
	int *end = arg;
	char text[64];
	weft_fiber *fiber;
	void *result = NULL;

	/* Nobody writes yet. */
	weft_ns begin = weft_now();
	ssize_t length = read_within(end[0], text, sizeof(text), 100 * WEFT_MS);
	printf("read: %s after %s\n", length < 0 ? strerror((int)-length) : "data",
		weft_now() - begin >= 100 * WEFT_MS ? "100 ms" : "less");

	if (weft_spawn(&fiber, session, &end[1]) < 0)
		return "no memory for a fiber";
	weft_sleep(50 * WEFT_MS);
	weft_cancel(fiber);
	length = read_within(end[0], text, sizeof(text), 5 * WEFT_SEC);
	printf("read: %.*s\n", length > 0 ? (int)length : 0, text);
	weft_join(fiber, &result);
	return result == NULL ? NULL : "the session could not say goodbye";
}

int main(void)
{
	int end[2];
	void *failed = NULL;

	if (pipe2(end, O_CLOEXEC) < 0) {
		perror("pipe2");
		return 1;
	}
	int error = weft_run(NULL, start, end, &failed);
	if (error < 0)
		fprintf(stderr, "weft_run: %s\n", strerror(-error));
	else if (failed)
		fprintf(stderr, "deadline: %s\n", (const char *)failed);
	close(end[0]);
	close(end[1]);
	return error < 0 || failed;
}
