/* SPDX-License-Identifier: MIT */
/* net.h - sockets: receive, send, accept, connect; listening and dialling by text address
 *
 * What     The POSIX calls with a prefix, whose rules (cancellation, buffers, O_NONBLOCK, SIGPIPE,
 *          close) are those of io.h; and weft_listen and weft_dial, which make a socket from a
 *          text.
 *
 * Addresses of weft_listen and weft_dial
 *            "host:port"   host is an IPv4 address or a name; port is decimal, 0 .. 65535
 *            "[v6]:port"   an IPv6 address in brackets
 *            "unix:/path"  a stream socket in the file system
 *          All else is malformed and -EINVAL; so is an empty host (say 0.0.0.0 or [::]), a port
 *          left out, and a path too long for the kernel.
 */
#ifndef WEFT_NET_H
#define WEFT_NET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <weft/version.h>

#ifdef __cplusplus
extern "C" {
#endif

struct addrinfo; /* of <netdb.h> */

/**
 * weft_recv - receive bytes or a message from a socket.
 * @fd     socket. Borrowed; closing it meanwhile with weft_close() ends the call.
 * @buf    at least @len bytes. Borrowed; the kernel has let go of it at return, also when
 *         cancelled.
 * @len    bytes wanted; fewer may come.
 * @flags  MSG_* of recv(2). MSG_DONTWAIT is honoured: -EAGAIN instead of parking.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     one operation; shares its system call with the rest of the worker's tick.
 * Returns  bytes received; 0 when the peer of a stream has sent its last. With MSG_WAITALL also
 *          fewer than @len when cancelled or late halfway.
 * Errors   -ECANCELED, -ETIMEDOUT, -EPERM off a fiber (weft)
 *          -EAGAIN with MSG_DONTWAIT; -EBADF, -ENOTSOCK, -ENOTCONN, -ECONNRESET, -ETIMEDOUT the
 *          peer is gone, ... (kernel, as recv(2) says)
 * Example  ssize_t n = weft_recv(fd, buf, sizeof(buf), 0);
 */
WEFT_API ssize_t weft_recv(int fd, void *buf, size_t len, int flags);

/* Received bytes in a buffer that weft lends. */
typedef struct weft_slice {
	void *data;	 /* may be written to; NULL when nothing is lent */
	size_t len;	 /* bytes received */
	uint64_t opaque; /* weft's */
} weft_slice;

/**
 * weft_recv_borrow - receive into a buffer that is lent when data has come.
 * @fd     socket. Borrowed, as for weft_recv().
 * @slice  where to put what was received; it is the caller's until weft_slice_return(), and with
 *         nothing lent all zero.
 *
 * Who waits holds no buffer: ten thousand idle connections cost their fibers alone. A slice holds
 * up to 16 KiB; when the worker's buffers are all lent, one comes from the heap. Slices may be
 * kept, handed on, and given back in any order, also after the runtime has ended.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     as weft_recv(); no allocation while the worker has buffers.
 * Returns  bytes received; 0 when the peer of a stream has sent its last.
 * Errors   those of weft_recv(); -EINVAL @slice is NULL; -ENOMEM (weft)
 * Example  weft_slice slice;
 *          while (weft_recv_borrow(fd, &slice) > 0) {
 *                  weft_send_full(fd, slice.data, slice.len, 0);
 *                  weft_slice_return(&slice);
 *          }
 */
WEFT_API ssize_t weft_recv_borrow(int fd, weft_slice *slice);

/**
 * weft_slice_return - give a lent buffer back.
 * @slice  of weft_recv_borrow(); NULL or all zero is fine. Zeroed, so that a second call does
 *         nothing; a copy of it given back once more ends the process with a line that says so.
 *
 * Context  any thread. Parks no. Cancel point no. errno untouched.
 * Cost     one atomic list operation.
 * Example  weft_slice_return(&slice);
 */
WEFT_API void weft_slice_return(weft_slice *slice);

/**
 * weft_send - send bytes or a message on a connected socket.
 * @fd     socket. Borrowed, as for weft_recv().
 * @buf    @len bytes. Borrowed, not changed.
 * @len    bytes to send; fewer may be taken on a stream: weft_send_full() goes on.
 * @flags  MSG_* of send(2). MSG_NOSIGNAL is implied. MSG_DONTWAIT is honoured: -EAGAIN instead of
 *         parking.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     as weft_recv().
 * Returns  bytes taken.
 * Errors   -ECANCELED, -ETIMEDOUT, -EPERM off a fiber (weft)
 *          -EAGAIN with MSG_DONTWAIT; -EPIPE the connection is shut down; -ECONNRESET, -EBADF,
 *          -ENOTSOCK, -EMSGSIZE, ... (kernel, as send(2) says)
 * Example  ssize_t n = weft_send(fd, reply, size, 0);
 */
WEFT_API ssize_t weft_send(int fd, const void *buf, size_t len, int flags);

/**
 * weft_recvfrom - receive, and learn from whom.
 * @fd     socket. Borrowed, as for weft_recv().
 * @buf    at least @len bytes. Borrowed.
 * @len    bytes wanted; what a longer datagram has more is lost, as with recvfrom(2): MSG_TRUNC
 *         tells.
 * @flags  as weft_recv().
 * @from   NULL, or where to put the sender's address. Borrowed until return.
 * @size   NULL when @from is; else the room in @from, and at return the size of the address.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     as weft_recv().
 * Returns  bytes received; 0 may be an empty datagram.
 * Errors   those of weft_recv()
 * Example  struct sockaddr_storage peer;
 *          socklen_t size = sizeof(peer);
 *          n = weft_recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&peer, &size);
 */
WEFT_API ssize_t weft_recvfrom(
	int fd, void *buf, size_t len, int flags, struct sockaddr *from, socklen_t *size);

/**
 * weft_sendto - send to an address.
 * @fd     socket. Borrowed, as for weft_recv().
 * @buf    @len bytes. Borrowed, not changed.
 * @len    bytes to send.
 * @flags  as weft_send().
 * @to     NULL: to the connected peer; else the address. Borrowed until return.
 * @size   its size in bytes.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     as weft_recv().
 * Returns  bytes taken.
 * Errors   those of weft_send(); -EDESTADDRREQ, -EISCONN, -ENETUNREACH, ... (kernel, as sendto(2)
 *          says)
 * Example  n = weft_sendto(fd, reply, len, 0, (struct sockaddr *)&peer, size);
 */
WEFT_API ssize_t weft_sendto(
	int fd, const void *buf, size_t len, int flags, const struct sockaddr *to, socklen_t size);

/**
 * weft_recvmsg - receive into several buffers, with address and control data.
 * @fd       socket. Borrowed, as for weft_recv().
 * @message  as recvmsg(2) takes and fills it. It and all it points to is borrowed until return.
 * @flags    as weft_recv(); MSG_ERRQUEUE does not park. Give MSG_CMSG_CLOEXEC where descriptors
 *           come.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     as weft_recv().
 * Returns  bytes received; @message->msg_flags says what was cut off.
 * Errors   those of weft_recv(); -EMSGSIZE too many buffers (kernel)
 * Example  n = weft_recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
 */
WEFT_API ssize_t weft_recvmsg(int fd, struct msghdr *message, int flags);

/**
 * weft_sendmsg - send several buffers, with address and control data.
 * @fd       socket. Borrowed, as for weft_recv().
 * @message  as sendmsg(2) takes it. It and all it points to is borrowed until return, not changed.
 * @flags    as weft_send().
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     as weft_recv().
 * Returns  bytes taken.
 * Errors   those of weft_send() and weft_sendto(); -EMSGSIZE too many buffers (kernel)
 * Example  n = weft_sendmsg(fd, &message, 0);
 */
WEFT_API ssize_t weft_sendmsg(int fd, const struct msghdr *message, int flags);

/**
 * weft_send_full - send all of a length on a stream socket.
 * @fd     socket. Borrowed, as for weft_recv().
 * @buf    @len bytes. Borrowed, not changed.
 * @len    bytes to send.
 * @flags  as weft_send(), for each transfer.
 *
 * Made of several transfers. When it fails after some bytes were taken, it returns their number,
 * and the next call returns the error: cancellation and deadline are levels, a broken connection
 * stays broken. So success is a return of @len.
 *
 * Context  fiber. Parks yes. Cancel point yes, before each transfer. errno untouched. May return on
 *          another thread.
 * Cost     one weft_send() per transfer; mostly one.
 * Returns  bytes taken: @len, or fewer when an error came after the first byte.
 * Errors   those of weft_send(), when no byte was moved before
 *          -EINVAL @len is larger than SSIZE_MAX (weft)
 * Example  if (weft_send_full(fd, reply, size, 0) != (ssize_t)size)
 *                  goto broken;
 */
WEFT_API ssize_t weft_send_full(int fd, const void *buf, size_t len, int flags);

/**
 * weft_accept - take the next connection of a listening socket.
 * @fd     listening socket. Borrowed, as for weft_recv(). Any number of fibers may accept on it.
 * @addr   NULL, or where to put the peer's address.
 * @len    NULL when @addr is; else the room in @addr, and at return the size of the address.
 * @flags  SOCK_NONBLOCK, SOCK_CLOEXEC, as for accept4(2).
 *
 * A connection is either returned or left in the queue; cancellation loses none.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     as weft_recv().
 * Returns  the connection's descriptor, owned by the caller.
 * Errors   -ECANCELED, -ETIMEDOUT, -EPERM off a fiber (weft)
 *          -EMFILE, -ENFILE no descriptor is left: each time, at once, and the connection stays
 *          queued, so pause before trying again (kernel)
 *          -ECONNABORTED, -EINVAL, -EBADF, -ENOTSOCK, -ENOMEM, ... (kernel, as accept(2) says)
 * Example  for (;;) {
 *                  int fd = weft_accept(listener, NULL, NULL, SOCK_CLOEXEC);
 *                  if (fd == -EMFILE && weft_sleep(10 * WEFT_MS) == 0)
 *                          continue;
 *                  if (fd < 0)
 *                          return NULL;
 *                  serve(fd);
 *          }
 */
WEFT_API WEFT_NODISCARD int weft_accept(int fd, struct sockaddr *addr, socklen_t *len, int flags);

/**
 * weft_connect - connect a socket.
 * @fd    socket. Borrowed, as for weft_recv().
 * @addr  the address. Borrowed until return.
 * @len   its size in bytes.
 *
 * After -ECANCELED or -ETIMEDOUT the handshake may be under way: the socket can only be closed.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     as weft_recv().
 * Returns  0.
 * Errors   -ECANCELED, -ETIMEDOUT, -EPERM off a fiber (weft)
 *          -ECONNREFUSED, -ETIMEDOUT nobody answers, -ENETUNREACH, -EHOSTUNREACH, -EADDRNOTAVAIL,
 *          -EISCONN, -EBADF, -ENOTSOCK, ... (kernel, as connect(2) says)
 * Example  error = weft_connect(fd, (struct sockaddr *)&peer, sizeof(peer));
 */
WEFT_API int weft_connect(int fd, const struct sockaddr *addr, socklen_t len);

/**
 * weft_shutdown - end one or both directions of a connection; the descriptor stays open.
 * @fd   socket. Borrowed.
 * @how  SHUT_RD, SHUT_WR or SHUT_RDWR.
 *
 * Fibers parked in a direction that ends wake: receivers with 0, senders with -EPIPE.
 *
 * Context  fiber. Parks yes. Cancel point yes, so clean-up shields it or closes instead. errno
 *          untouched. May return on another thread.
 * Cost     as weft_recv().
 * Returns  0.
 * Errors   -ECANCELED, -ETIMEDOUT, -EPERM off a fiber (weft)
 *          -ENOTCONN, -EBADF, -ENOTSOCK, -EINVAL (kernel, as shutdown(2) says)
 * Example  weft_shutdown(fd, SHUT_WR);
 */
WEFT_API int weft_shutdown(int fd, int how);

/**
 * weft_getaddrinfo - look up names, as getaddrinfo(3), without blocking a worker.
 * @node     NULL, a number, or a name. Borrowed until return, as all that is given.
 * @service  NULL, a port number, or a service's name.
 * @hints    NULL, or what to look for, as getaddrinfo(3) takes it.
 * @res      where to put the list; not written on failure. The caller ends it with
 *           freeaddrinfo(3).
 *
 * The C library itself answers what needs no network: numbers, services, flags. Names are looked
 * for in /etc/hosts and asked of the name servers in the order of /etc/nsswitch.conf, with
 * /etc/resolv.conf's servers, search list and options (c-ares). Other sources of nsswitch.conf
 * are not asked, and names under localhost are this machine without asking. Addresses come in
 * the order of RFC 6724. 256 look-ups of a process ask at a time; more wait for their turn.
 *
 * WEFT_NAMESERVERS=127.0.0.1:5353,[::1]:53 in the environment replaces the name servers, at most
 * 16; a malformed one is -EINVAL of weft_run and weft_start.
 *
 * Context  fiber, but WEFT_SMALL ones. Parks yes. Cancel point yes; ends at once then. errno
 *          untouched but by EAI_SYSTEM. May return on another thread.
 * Cost     two hand-overs to a thread of the offload pool (weft/offload.h), and one for each answer
 *          that comes; one socket a name server asked.
 * Returns  0, or EAI_* as getaddrinfo(3): no negative errno. Of EAI_SYSTEM read errno in a function
 *          of its own: compilers keep errno's address across a call that moves the fiber.
 * Errors   EAI_SYSTEM with errno: ECANCELED, ETIMEDOUT; EPERM off a fiber; EAGAIN no thread could
 *          be made, and there is none (weft)
 *          EAI_NONAME, EAI_NODATA, EAI_SERVICE, EAI_FAMILY, EAI_SOCKTYPE, EAI_BADFLAGS,
 *          EAI_ADDRFAMILY, EAI_MEMORY (libc's meaning)
 *          EAI_SYSTEM with errno EMFILE, ENFILE no descriptor is left (kernel)
 *          EAI_AGAIN no name server answered; EAI_FAIL what came was no answer (name servers)
 *          EAI_IDN_ENCODE AI_IDN with a name that is not ASCII: give it in its encoded form (weft)
 * Example  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
 *          if (weft_getaddrinfo("example.org", "https", &hints, &list) == 0) {
 *                  use(list);
 *                  freeaddrinfo(list);
 *          }
 */
WEFT_API int weft_getaddrinfo(
	const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **res);

/**
 * weft_listen - make a listening stream socket.
 * @address  as this file's first comment says. Borrowed until return. Port 0: the kernel chooses;
 *           ask weft_local_port().
 *
 * With SO_REUSEADDR, a backlog of SOMAXCONN, close-on-exec. A name that stands for several
 * addresses listens on the first that works. A unix path that exists is -EADDRINUSE, and closing
 * does not remove the path.
 *
 * Context  fiber. Parks only to look a name up, and is a cancellation point then. errno untouched.
 * Cost     a few system calls.
 * Returns  the socket's descriptor, owned by the caller.
 * Errors   -EINVAL @address is NULL or malformed (weft)
 *          -ENOENT the name is unknown; -EAGAIN it cannot be looked up for now (weft)
 *          -ECANCELED, -ETIMEDOUT, -EPERM off a fiber (weft)
 *          -EADDRINUSE, -EADDRNOTAVAIL, -EACCES, -EMFILE, ... (kernel, as bind(2) says)
 * Example  int listener = weft_listen("127.0.0.1:0");
 *          printf("port %d\n", weft_local_port(listener));
 */
WEFT_API WEFT_NODISCARD int weft_listen(const char *address);

/**
 * weft_dial - make a stream socket and connect it.
 * @address  as this file's first comment says. Borrowed until return.
 *
 * Tries every address the name yields, IPv6 and IPv4 in turn, beginning with the resolver's
 * first: the next as soon as one fails, or has not answered for 250 ms (RFC 8305). The first that
 * connects is taken, the others are closed; the deadline in force bounds all of them together. The
 * socket is close-on-exec. Nothing stays open after an error.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     a socket and a connect per address tried; a look-up when host is a name.
 * Returns  the connection's descriptor, owned by the caller.
 * Errors   -EINVAL @address is NULL or malformed (weft)
 *          -ENOENT the name is unknown; -EAGAIN it cannot be looked up for now (weft)
 *          -ECANCELED, -ETIMEDOUT, -EPERM off a fiber (weft)
 *          those of weft_connect(), from the address that failed last; -ENETUNREACH,
 *          -EHOSTUNREACH and -EADDRNOTAVAIL only when no other failed otherwise (kernel)
 * Example  int fd = weft_dial("localhost:6379");
 *          if (fd < 0)
 *                  fprintf(stderr, "redis: %s\n", strerror(-fd));
 */
WEFT_API WEFT_NODISCARD int weft_dial(const char *address);

/**
 * weft_local_port - the local port of an IPv4 or IPv6 socket.
 * @fd  socket. Borrowed.
 *
 * Context  any thread. Parks no. Cancel point no. errno untouched.
 * Cost     one system call.
 * Returns  1 .. 65535; 0 when the socket is not bound.
 * Errors   -EAFNOSUPPORT the socket is of another family (weft)
 *          -EBADF, -ENOTSOCK (kernel)
 * Example  see weft_listen().
 */
WEFT_API int weft_local_port(int fd);

#ifdef __cplusplus
}
#endif

#endif
