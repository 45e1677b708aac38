/* SPDX-License-Identifier: MIT */
/* headers_test.cc - the public headers as a C++ program sees them, outside any fiber
 *
 * Law  headers and library say the same version.
 * Law  off a fiber each call does what its docstring says: calls that park are -EPERM and change
 *      nothing, questions have their neutral answer, keys and bad arguments are as anywhere.
 */
#include <climits>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft/weft.h>

static void *nothing(void *)
{
	return nullptr;
}

TEST(Headers, VersionOfTheLibrary)
{
	std::string numbers = std::to_string(WEFT_VERSION_MAJOR) + "." +
		std::to_string(WEFT_VERSION_MINOR) + "." + std::to_string(WEFT_VERSION_PATCH);
	EXPECT_EQ(numbers, WEFT_VERSION);
	EXPECT_STREQ(WEFT_VERSION, weft_version());
}

TEST(Headers, UnitsAndZeroDefaults)
{
	EXPECT_EQ(1000 * WEFT_US, WEFT_MS);
	EXPECT_EQ(1000 * WEFT_MS, WEFT_SEC);
	EXPECT_EQ(INT64_MAX, WEFT_FOREVER);
	EXPECT_EQ(0u, WEFT_ENGINE_AUTO);
}

TEST(OffFiber, TimeSaturates)
{
	weft_ns before = weft_now();
	EXPECT_GT(before, 0);
	EXPECT_EQ(WEFT_FOREVER, weft_after(WEFT_FOREVER));
	EXPECT_EQ(WEFT_FOREVER, weft_after(WEFT_FOREVER - 1));
	EXPECT_LT(weft_after(-WEFT_SEC), before + WEFT_SEC);
	EXPECT_LT(weft_after(INT64_MIN), before);
	EXPECT_GE(weft_after(WEFT_SEC), before + WEFT_SEC);
}

TEST(OffFiber, QuestionsHaveNeutralAnswers)
{
	EXPECT_EQ(0u, weft_workers());
	EXPECT_EQ(UINT_MAX, weft_worker_index());
	EXPECT_EQ(0u, weft_engine());
	EXPECT_EQ(nullptr, weft_self());
	EXPECT_EQ(0u, weft_id(nullptr));
	EXPECT_EQ(0, weft_cancelled());
	EXPECT_EQ(0, weft_check());
	EXPECT_FALSE(weft_shield(true));
	EXPECT_FALSE(weft_shield(false));
	EXPECT_EQ(WEFT_FOREVER, weft_deadline(1));
	EXPECT_EQ(WEFT_FOREVER, weft_deadline(WEFT_FOREVER));
	weft_yield();
}

TEST(OffFiber, FiberCallsRefuse)
{
	weft_fiber *fiber = nullptr;
	EXPECT_EQ(-EPERM, weft_spawn(&fiber, nothing, nullptr));
	EXPECT_EQ(nullptr, fiber);
	EXPECT_EQ(-EPERM, weft_spawn_attr(&fiber, nullptr, nothing, nullptr));
	EXPECT_EQ(nullptr, fiber);
	EXPECT_EQ(-EPERM, weft_go(nothing, nullptr));
	EXPECT_EQ(-EPERM, weft_sleep(WEFT_MS));
	EXPECT_EQ(-EPERM, weft_sleep_until(weft_after(WEFT_MS)));
	EXPECT_EQ(-EPERM, weft_set_name("name"));
	EXPECT_EQ(-EINVAL, weft_cancel(nullptr));
	EXPECT_EQ(-EINVAL, weft_detach(nullptr));
	EXPECT_EQ(-EPERM, weft_stats_get(nullptr, nullptr, nullptr, 0));
	EXPECT_EQ(0, weft_on_deadlock(nullptr, nullptr));
}

TEST(OffFiber, RuntimeCallsCheckTheirArguments)
{
	EXPECT_EQ(-EINVAL, weft_run(nullptr, nullptr, nullptr, nullptr));
	EXPECT_EQ(-EINVAL, weft_start(nullptr, nullptr));
	EXPECT_EQ(-EINVAL, weft_submit(nullptr, nothing, nullptr));
	EXPECT_EQ(-EINVAL, weft_stop(nullptr));

	weft_config unknown_flag{};
	unknown_flag.flags = 1u << 31;
	weft_runtime *runtime = reinterpret_cast<weft_runtime *>(&unknown_flag);
	EXPECT_EQ(-EINVAL, weft_start(&runtime, &unknown_flag));
	EXPECT_EQ(nullptr, runtime) << "a failed start leaves no handle";
}

TEST(OffFiber, DescriptorCallsRefuseAndDoNothing)
{
	int pair[2];
	char byte = 'x';
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	ASSERT_EQ(1, write(pair[1], &byte, 1));

	EXPECT_EQ(-EPERM, weft_read(pair[0], &byte, 1));
	EXPECT_EQ(-EPERM, weft_read_full(pair[0], &byte, 1));
	EXPECT_EQ(-EPERM, weft_recv(pair[0], &byte, 1, 0));
	EXPECT_EQ(-EPERM, weft_write(pair[0], &byte, 1));
	EXPECT_EQ(-EPERM, weft_write_full(pair[0], &byte, 1));
	EXPECT_EQ(-EPERM, weft_send(pair[0], &byte, 1, 0));
	EXPECT_EQ(-EPERM, weft_send_full(pair[0], &byte, 1, 0));
	EXPECT_EQ(-EPERM, weft_poll(pair[0], POLLIN));
	EXPECT_EQ(-EPERM, weft_accept(pair[0], nullptr, nullptr, 0));
	EXPECT_EQ(-EPERM, weft_connect(pair[0], nullptr, 0));
	EXPECT_EQ(-EPERM, weft_shutdown(pair[0], SHUT_RDWR));
	EXPECT_EQ(-EPERM, weft_close(pair[0]));
	EXPECT_EQ(-EPERM, weft_openat(AT_FDCWD, "/", O_RDONLY, 0));
	EXPECT_EQ(-EPERM, weft_listen("127.0.0.1:0"));
	EXPECT_EQ(-EPERM, weft_dial("127.0.0.1:1"));

	EXPECT_EQ(1, read(pair[0], &byte, 1))
		<< "the byte, the socket and its directions are still there";
	EXPECT_EQ(1, write(pair[0], &byte, 1));
	close(pair[0]);
	close(pair[1]);
}

TEST(OffFiber, FileCallsRefuseAndDoNothing)
{
	char path[] = "/tmp/weft-off-XXXXXX", byte = 'x';
	int fd = mkstemp(path), pipes[2];
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(1, write(fd, &byte, 1));
	iovec part = {&byte, 1};
	off_t at = 0;
	struct statx info;
	siginfo_t child;
	EXPECT_EQ(-EPERM, weft_pread(fd, &byte, 1, 0));
	EXPECT_EQ(-EPERM, weft_pread(-1, &byte, 1, -1));
	EXPECT_EQ(-EPERM, weft_pwrite(fd, "yz", 2, 0));
	EXPECT_EQ(-EPERM, weft_readv(fd, &part, 1));
	EXPECT_EQ(-EPERM, weft_writev(fd, &part, 1));
	EXPECT_EQ(-EPERM, weft_fsync(fd));
	EXPECT_EQ(-EPERM, weft_fdatasync(fd));
	EXPECT_EQ(-EPERM, weft_fallocate(fd, 0, 0, 4096));
	EXPECT_EQ(-EPERM, weft_ftruncate(fd, 0));
	EXPECT_EQ(-EPERM, weft_statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &info));
	EXPECT_EQ(-EPERM, weft_unlinkat(AT_FDCWD, path, 0));
	EXPECT_EQ(-EPERM, weft_renameat(AT_FDCWD, path, AT_FDCWD, "/tmp/weft-off-no"));
	EXPECT_EQ(-EPERM, weft_mkdirat(AT_FDCWD, "/tmp/weft-off-no", 0700));
	EXPECT_EQ(-EPERM, weft_linkat(AT_FDCWD, path, AT_FDCWD, "/tmp/weft-off-no", 0));
	EXPECT_EQ(-EPERM, weft_symlinkat("x", AT_FDCWD, "/tmp/weft-off-no"));
	EXPECT_EQ(-EPERM, weft_splice(fd, &at, pipes[1], nullptr, 1, 0));
	EXPECT_EQ(-EPERM, weft_sendfile(pipes[1], fd, &at, 1));
	EXPECT_EQ(-EPERM, weft_waitid(P_ALL, 0, &child, WEXITED));
	EXPECT_EQ(-EPERM, weft_offload(nothing, nullptr, nullptr));
	struct stat now;
	EXPECT_EQ(0, fstat(fd, &now));
	EXPECT_EQ(1, now.st_size) << "nothing was written, cut off or removed";
	EXPECT_EQ(1u, now.st_nlink);
	EXPECT_EQ(0, at);
	EXPECT_NE(0, access("/tmp/weft-off-no", F_OK));
	unlink(path);
	for (int one : {fd, pipes[0], pipes[1]})
		close(one);
}

TEST(OffFiber, MessageCallsRefuseAndDoNothing)
{
	int pair[2];
	char byte = 'x';
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	ASSERT_EQ(1, write(pair[1], &byte, 1));
	iovec part = {&byte, 1};
	msghdr message{};
	message.msg_iov = &part;
	message.msg_iovlen = 1;
	weft_slice slice;
	addrinfo *list = nullptr;
	EXPECT_EQ(-EPERM, weft_recvfrom(pair[0], &byte, 1, 0, nullptr, nullptr));
	EXPECT_EQ(-EPERM, weft_sendto(pair[0], &byte, 1, 0, nullptr, 0));
	EXPECT_EQ(-EPERM, weft_recvmsg(pair[0], &message, 0));
	EXPECT_EQ(-EPERM, weft_sendmsg(pair[0], &message, 0));
	EXPECT_EQ(-EPERM, weft_recv_borrow(pair[0], &slice));
	EXPECT_EQ(EAI_SYSTEM, weft_getaddrinfo("127.0.0.1", nullptr, nullptr, &list));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(1, recv(pair[0], &byte, 1, MSG_DONTWAIT)) << "the byte is still there";
	EXPECT_EQ(-1, recv(pair[1], &byte, 1, MSG_DONTWAIT)) << "none has come";
	close(pair[0]);
	close(pair[1]);
}

TEST(OffFiber, LocalPortNeedsNoFiber)
{
	int unbound = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ASSERT_GE(unbound, 0);
	ASSERT_GE(other, 0);
	EXPECT_EQ(0, weft_local_port(unbound));
	EXPECT_EQ(-EAFNOSUPPORT, weft_local_port(other));
	EXPECT_EQ(-EBADF, weft_local_port(-1));
	close(unbound);
	close(other);
}

TEST(OffFiber, KeysAreOfTheProcess)
{
	weft_key key{};
	EXPECT_EQ(-EINVAL, weft_key_create(nullptr, nullptr));
	ASSERT_EQ(0, weft_key_create(&key, nullptr));
	EXPECT_EQ(-EPERM, weft_set_local(key, &key));
	EXPECT_EQ(nullptr, weft_get_local(key));
	EXPECT_EQ(0, weft_key_delete(key));
	EXPECT_EQ(-EINVAL, weft_key_delete(key));
}

TEST(OffFiber, ErrnoIsUntouched)
{
	errno = E2BIG;
	EXPECT_EQ(-EPERM, weft_read(-1, nullptr, 0));
	EXPECT_EQ(-EBADF, weft_local_port(-1));
	EXPECT_EQ(-EINVAL, weft_stop(nullptr));
	EXPECT_EQ(E2BIG, errno);
}
