/* SPDX-License-Identifier: MIT */
/* messages_rights_test.cc - descriptors that travel with messages
 *
 * Laws     MR1 each call says what the system call says: control data, flags out, truncation, where a stream's messages end.
 *          MR2 descriptors arrive open, once, and none is left over or lost, also when the receiver is cancelled or has no room.
 */
#include "tests/io/calls.h"

using namespace io_test;

namespace
{

class Rights : public Rings
{
};
IN_EVERY_SETUP(Rights);

bool send_descriptor(int over, const char *text, const std::vector<int> &fds)
{
	Mail mail(strlen(text), 0);
	memcpy(mail.first, text, strlen(text));
	mail.head.msg_name = nullptr;
	mail.head.msg_namelen = 0;
	size_t bytes = fds.size() * sizeof(int);
	mail.head.msg_controllen = CMSG_SPACE(bytes);
	cmsghdr *control = CMSG_FIRSTHDR(&mail.head);
	control->cmsg_level = SOL_SOCKET;
	control->cmsg_type = SCM_RIGHTS;
	control->cmsg_len = CMSG_LEN(bytes);
	memcpy(CMSG_DATA(control), fds.data(), bytes);
	return weft_sendmsg(over, &mail.head, 0) == static_cast<ssize_t>(strlen(text));
}

std::vector<int> descriptors_in(msghdr &head)
{
	std::vector<int> fds;
	for (cmsghdr *c = CMSG_FIRSTHDR(&head); c != nullptr; c = CMSG_NXTHDR(&head, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
			size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			fds.resize(fds.size() + count);
			memcpy(&fds[fds.size() - count], CMSG_DATA(c), count * sizeof(int));
		}
	return fds;
}

TEST_P(Rights, DescriptorsTravel)
{
	run([] {
		int before = count_open();
		for (int type : {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET}) {
			compare([type](auto calls, Script &say) {
				Two two = two_of(type), pipe = pipe_two();
				auto receive = [&](const char *what, size_t room, size_t len, int flags) {
					Mail mail(len, 0, room);
					mail.tell(say, what, calls.recvmsg(two.first, &mail.head, flags));
					for (int fd : descriptors_in(mail.head)) {
						say("cloexec", fcntl(fd, F_GETFD));
						close(fd);
					}
				};
				EXPECT_TRUE(send_descriptor(two.second, "abc", {pipe.first}));
				receive("one", 256, 8, 0);
				EXPECT_TRUE(
					send_descriptor(two.second, "abc", {pipe.first, pipe.second}));
				receive("two", 256, 8, MSG_CMSG_CLOEXEC);
				EXPECT_TRUE(
					send_descriptor(two.second, "abc", {pipe.first, pipe.second}));
				receive("room for one", CMSG_SPACE(sizeof(int)) - 4, 8, 0);
				EXPECT_TRUE(
					send_descriptor(two.second, "abc", {pipe.first, pipe.second}));
				receive("no room", 0, 8, 0);
				EXPECT_TRUE(send_descriptor(two.second, "abc", {pipe.first}));
				receive("peek", 256, 2, MSG_PEEK | MSG_CMSG_CLOEXEC);
				receive("take", 256, 8, MSG_CMSG_CLOEXEC);
				EXPECT_TRUE(send_descriptor(two.second, "abc", {pipe.first}));
				char buf[8];
				say("read drops it", calls.recv(two.first, buf, 8, 0));
				/* A stream does not glue what came with descriptors to what follows. */
				EXPECT_EQ(2, send(two.second, "01", 2, 0));
				EXPECT_TRUE(send_descriptor(two.second, "abc", {pipe.first}));
				EXPECT_TRUE(send_descriptor(two.second, "def", {pipe.second}));
				EXPECT_EQ(2, send(two.second, "23", 2, 0));
				for (int i = 0; i < 4; i++)
					receive("one by one", 256, 8, MSG_DONTWAIT | MSG_WAITALL);
				close_two(two);
				close_two(pipe);
			});
		}
		EXPECT_EQ(before, count_open());
	});
}

TEST_P(Rights, AParkedReceiverGetsADescriptorThatWorks)
{
	run([] {
		Two two = two_of(SOCK_STREAM), pipe = pipe_two();
		Mail mail;
		ssize_t n = 0;
		Fiber receiver([&] { n = weft_recvmsg(two.first, &mail.head, MSG_CMSG_CLOEXEC); });
		ASSERT_TRUE(until_parked(1));
		EXPECT_TRUE(send_descriptor(two.second, "abc", {pipe.second}));
		receiver.join();
		EXPECT_EQ(3, n);
		std::vector<int> fds = descriptors_in(mail.head);
		ASSERT_EQ(1u, fds.size());
		EXPECT_EQ(5, weft_write(fds[0], "hello", 5));
		char buf[8];
		EXPECT_EQ(5, weft_read(pipe.first, buf, 8));
		weft_close(fds[0]);
		close_two(two);
		close_two(pipe);
	});
}

TEST_P(Rights, NoDescriptorIsLostToACancelledReceiver)
{
	run([] {
		int before = count_open();
		Two two = two_of(SOCK_STREAM), pipe = pipe_two();
		int got = 0, sent = rounds(100, 20);
		for (int round = 0; round < sent; round++) {
			Mail mail;
			ssize_t n = 0;
			Fiber receiver([&] { n = weft_recvmsg(two.first, &mail.head, 0); });
			if (round % 2)
				weft_yield();
			EXPECT_TRUE(send_descriptor(two.second, "abc", {pipe.first}));
			receiver.cancel();
			receiver.join();
			EXPECT_TRUE(n == 3 || n == -ECANCELED) << n;
			if (n == -ECANCELED) {
				Mail again;
				ASSERT_EQ(3, weft_recvmsg(two.first, &again.head, 0));
				for (int fd : descriptors_in(again.head))
					got += close(fd) == 0;
			} else {
				for (int fd : descriptors_in(mail.head))
					got += close(fd) == 0;
			}
		}
		EXPECT_EQ(sent, got);
		close_two(two);
		close_two(pipe);
		EXPECT_EQ(before, count_open());
	});
}

TEST_P(Rights, NoDescriptorLeftForAMessage)
{
	run([] {
		Two two = two_of(SOCK_STREAM), pipe = pipe_two();
		EXPECT_TRUE(send_descriptor(two.second, "abc", {pipe.first, pipe.second}));
		Mail mail;
		ssize_t n;
		{
			FewDescriptors few(0);
			n = weft_recvmsg(two.first, &mail.head, 0);
		}
		EXPECT_EQ(3, n);
		EXPECT_TRUE(mail.head.msg_flags & MSG_CTRUNC);
		EXPECT_EQ(0u, descriptors_in(mail.head).size());
		close_two(two);
		close_two(pipe);
	});
}

} // namespace
