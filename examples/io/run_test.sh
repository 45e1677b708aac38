#!/bin/bash
# SPDX-License-Identifier: MIT
# run_test.sh EXAMPLE PROGRAM - Law: each example does what its first comment says, with megabytes of data, refuses what
# it cannot do with a line that says why, and ends as it says. On either engine: WEFT_ENGINE decides.
. tests/shell.sh
program=$2
server=
short=

finish() {
	if [[ $server ]]; then kill -KILL "$server" 2>/dev/null || true; fi
	rm -rf "$scratch" ${short:+"$short"}
}
trap finish EXIT

expect() {
	[[ $1 == "$2" ]] || fail "expected:" "$2" "but got:" "$1"
}

# fails CODE TEXT COMMAND...: it exits with the code, and says the text on stderr.
fails() {
	local wanted=$1 text=$2 code=0
	shift 2
	"$@" >"$scratch/stdout" 2>"$scratch/stderr" </dev/null || code=$?
	[[ $code == "$wanted" ]] || fail "$* ended with $code, not $wanted: $(cat "$scratch/stderr")"
	[[ -z $text ]] || grep -qF -- "$text" "$scratch/stderr" || fail "$* does not say '$text': $(cat "$scratch/stderr")"
}

help_and_usage() {
	"$program" --help | grep -q '^usage' || fail "--help shows no usage"
	fails 2 usage "$program" --nonsense
}

# serve COMMAND...: starts it and waits until it listens: $server is its process, $port the port it names.
serve() {
	: >"$scratch/server"
	"$@" >"$scratch/server" 2>"$scratch/server.err" &
	server=$!
	for ((tries = 0; tries < 400; tries++)); do
		if grep -q '^listening on ' "$scratch/server"; then
			port=$(sed -n 's/^listening on .*, port //p' "$scratch/server")
			return
		fi
		kill -0 "$server" 2>/dev/null || break
		sleep 0.05
	done
	fail "it does not listen: $(cat "$scratch/server.err")"
}

# stop SIGNAL: ends it; it has to end with 0, and not to take long.
stop() {
	local code=0 start=$SECONDS
	kill "-$1" "$server"
	wait "$server" || code=$?
	server=
	[[ $code == 0 ]] || fail "the server ended with $code: $(cat "$scratch/server.err")"
	[[ $((SECONDS - start)) -le 20 ]] || fail "the server took $((SECONDS - start)) seconds to end"
}

# data FILE BYTES: the same bytes each time, and no two blocks alike.
data() {
	python3 - "$1" "$2" <<-'END'
		import random, sys
		with open(sys.argv[1], "wb") as f:
		    f.write(random.Random(7).randbytes(int(sys.argv[2])))
	END
}

test_echo_server() {
	need python3
	help_and_usage
	fails 2 usage "$program" --idle 0
	fails 2 usage "$program" --max 1x
	fails 1 "nonsense: Invalid argument" "$program" --listen nonsense
	serve "$program" --idle 1 --max 20
	python3 - "$port" <<-'END' || fail "the clients say so"
		import socket, sys, threading, time
		address = ("127.0.0.1", int(sys.argv[1]))
		blob = bytes(range(256)) * 4096

		def talk():
		    with socket.create_connection(address) as s:
		        sender = threading.Thread(target=lambda: (s.sendall(blob), s.shutdown(socket.SHUT_WR)))
		        sender.start()
		        got = b""
		        while piece := s.recv(65536):
		            got += piece
		        sender.join()
		        if got != blob:
		            failures.append(len(got))

		failures = []
		threads = [threading.Thread(target=talk) for _ in range(50)]  # more than --max: they take turns
		[t.start() for t in threads]
		[t.join() for t in threads]
		if failures:
		    sys.exit(f"{len(failures)} echoes are wrong: {failures[:5]}")
		silent = socket.create_connection(address)
		silent.settimeout(20)
		if silent.recv(1) != b"":
		    sys.exit("a silent client got data")
	END
	fails 1 "Address already in use" "$program" --listen "127.0.0.1:$port"
	exec 3<>"/dev/tcp/127.0.0.1/$port"
	stop TERM
	! read -r -t 10 _ <&3 || fail "data from nowhere"
	exec 3>&-

	# Fewer descriptors than clients: those who come too early wait, nobody is turned away.
	serve bash -c 'ulimit -n 60; exec "$@"' - "$program"
	python3 - "$port" <<-'END' || fail "the clients say so"
		import select, socket, sys
		waiting = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(120)]
		for s in waiting:
		    s.sendall(b"x")
		while waiting:
		    ready = select.select(waiting, [], [], 20)[0]
		    if not ready:
		        sys.exit(f"{len(waiting)} clients have no answer")
		    for s in ready:
		        if s.recv(1) != b"x":
		            sys.exit("a client was turned away")
		        s.close()
		        waiting.remove(s)
	END
	stop INT
}

# A target that answers with all it got, when it has got all; reset on "reset"; held open on "hold".
target() {
	cat >"$scratch/target.py" <<-'END'
		import socket, struct, sys, threading
		def serve(s):
		    try:
		        talk(s)
		    except ConnectionError:
		        pass
		def talk(s):
		    got = b""
		    while piece := s.recv(65536):
		        got += piece
		        if got == b"hold":
		            s.sendall(b"held")
		        if got == b"reset":
		            s.sendall(b"some")
		            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		            s.close()
		            return
		    if got != b"hold":
		        s.sendall(got)
		    s.close()
		listener = socket.create_server(("127.0.0.1", 0), backlog=100)
		print(listener.getsockname()[1], flush=True)
		while True:
		    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
	END
	python3 "$scratch/target.py" >"$scratch/target" &
	target=$!
	trap 'kill "$target" || true; finish' EXIT
	until [[ -s $scratch/target ]]; do sleep 0.05; done
}

test_tcp_proxy() {
	need python3
	help_and_usage
	fails 2 usage "$program"
	fails 2 usage "$program" --grace -1 127.0.0.1:1
	fails 1 "nonsense: Invalid argument" "$program" --listen nonsense 127.0.0.1:1
	target
	serve "$program" --grace 1 "127.0.0.1:$(cat "$scratch/target")"
	python3 - "$port" <<-'END' || fail "the clients say so: $(cat "$scratch/server.err")"
		import socket, sys, threading
		address = ("127.0.0.1", int(sys.argv[1]))
		blob = bytes(range(256)) * 8192

		def talk():
		    with socket.create_connection(address) as s:
		        s.sendall(blob)
		        s.shutdown(socket.SHUT_WR)  # the answer comes only when this has been passed on
		        got = b""
		        while piece := s.recv(65536):
		            got += piece
		        if got != blob:
		            failures.append(len(got))

		failures = []
		threads = [threading.Thread(target=talk) for _ in range(20)]
		[t.start() for t in threads]
		[t.join() for t in threads]
		if failures:
		    sys.exit(f"{len(failures)} answers are wrong: {failures[:5]}")
		with socket.create_connection(address) as s:
		    s.sendall(b"reset")
		    try:
		        while s.recv(100):
		            pass
		        sys.exit("a broken connection looks like a complete one")
		    except ConnectionResetError:
		        pass
	END
	# One that is open when the signal comes has its grace, and not more.
	exec 3<>"/dev/tcp/127.0.0.1/$port"
	printf hold >&3
	read -r -t 20 -n 4 answer <&3 || fail "no answer"
	expect "$answer" held
	stop TERM
	exec 3>&-

	serve "$program" --idle 1 127.0.0.1:1
	exec 3<>"/dev/tcp/127.0.0.1/$port"
	! read -r -t 20 _ <&3 2>/dev/null || fail "an answer from nowhere"
	exec 3>&-
	stop INT
	grep -q "127.0.0.1:1: Connection refused" "$scratch/server.err" || fail "$(cat "$scratch/server.err")"

	serve "$program" --idle 1 "127.0.0.1:$(cat "$scratch/target")"
	exec 3<>"/dev/tcp/127.0.0.1/$port"
	printf hold >&3
	read -r -t 20 -n 4 answer <&3 || fail "no answer"
	! read -r -t 20 _ <&3 2>/dev/null || fail "an answer from nowhere"
	exec 3>&-
	stop TERM
}

test_copy_file() {
	need python3 cksum
	help_and_usage
	fails 2 usage "$program"
	fails 2 usage "$program" --fibers 0 a b
	local from=$scratch/from to=$scratch/to
	data "$from" 20000001
	truncate -s 50000000 "$from" # a hole at the end, and the chunk before it is a part of one
	: >"$scratch/empty"
	chmod 640 "$from"
	touch -d '2001-02-03 04:05:06' "$from"
	for file in "$from" "$scratch/empty" "$program"; do
		expect "$("$program" --quiet "$file" "$to")" "$(cksum "$file")"
		cmp "$file" "$to" || fail "the copy differs"
		expect "$("$program" --fibers 3 "$file" 2>/dev/null)" "$(cksum "$file")"
	done
	expect "$("$program" --fibers 1 --quiet "$from" "$to")" "$(cksum "$from")"
	expect "$(stat -c '%a %Y' "$to")" "$(stat -c '%a %Y' "$from")"
	[[ $(stat -c %b "$to") -lt 60000 ]] || fail "the hole is no hole any more: $(stat -c %b "$to") blocks"

	fails 1 "opening $scratch/nothing: No such file" "$program" "$scratch/nothing" "$to"
	fails 1 "opening $scratch: Is a directory" "$program" "$scratch" "$to"
	fails 1 "opening /dev/null: Invalid argument" "$program" /dev/null "$to"
	fails 1 "creating $scratch/no/to: No such file" "$program" "$from" "$scratch/no/to"
	mkdir "$scratch/folder"
	fails 1 "renaming to $scratch/folder: " "$program" "$from" "$scratch/folder"
	fails 1 "copying to $to: File too large" bash -c 'trap "" XFSZ; ulimit -f 1000; exec "$@"' - "$program" "$from" "$to"
	cmp "$from" "$to" || fail "a failed copy has changed what was there"
	[[ ! $(find "$scratch" -name '*.part*') ]] || fail "left behind: $(find "$scratch" -name '*.part*')"
}

test_copy_file_stopped() {
	need python3
	# Endless as far as this test goes, and all of it data: it has to be stopped.
	local code=0 from=$scratch/from
	data "$from" 64000000
	for ((tries = 0; tries < 20; tries++)); do
		code=0
		"$program" --fibers 1 "$from" "$scratch/to" >"$scratch/stdout" 2>"$scratch/stderr" &
		server=$!
		until compgen -G "$scratch/to.part*" >/dev/null || [[ -e $scratch/to ]]; do sleep 0.01; done
		kill -INT "$server"
		wait "$server" || code=$?
		server=
		[[ ! $(find "$scratch" -name '*.part*') ]] || fail "left behind: $(find "$scratch" -name '*.part*')"
		if [[ $code == 1 ]]; then
			grep -q "stopped by signal 2" "$scratch/stderr" || fail "$(cat "$scratch/stderr")"
			[[ ! -e $scratch/to ]] || fail "it was stopped, and the copy is there"
			return
		fi
		[[ $code == 0 && -e $scratch/to ]] || fail "it ended with $code: $(cat "$scratch/stderr")"
		rm "$scratch/to"
	done
	fail "it was always done before it was stopped"
}

test_wc_tree() {
	need python3 wc
	help_and_usage
	fails 2 usage "$program"
	fails 2 usage "$program" --readers 0 .
	fails 1 "$scratch/nothing: No such file" "$program" "$scratch/nothing"
	local tree=$scratch/tree
	python3 - "$tree" <<-'END'
		import os, random, sys
		chance = random.Random(7)
		words = ["warp", "weft", "loom", "\n", "  ", "\t", "shuttle\n", "reed"]
		def make(path, depth):
		    os.mkdir(path)
		    for i in range(150 if depth == 2 else 5):  # more than are read at a time
		        with open(f"{path}/file {i}", "w") as f:
		            f.write(" ".join(chance.choices(words, k=chance.choice((0, 1, 300, 6000)))))
		    for i in range(4 if depth < 4 else 0):
		        make(f"{path}/{i}", depth + 1)
		make(sys.argv[1], 0)
		deep = sys.argv[1]
		for i in range(100):
		    deep += "/d"
		    os.mkdir(deep)
		with open(deep + "/f", "w") as f:
		    f.write("one two")
		os.symlink("..", sys.argv[1] + "/up")
		os.mkfifo(sys.argv[1] + "/fifo")
	END
	find "$tree" -type f -print0 >"$scratch/names"
	LC_ALL=C wc --files0-from="$scratch/names" | sed 's/^ *//; s/  */ /; s/ \([0-9]*\)  */ \1 /' |
		awk '{ rest = $0; sub(/^ *[0-9]+ +[0-9]+ +[0-9]+ /, "", rest); print $1, $2, $3, rest }' |
		LC_ALL=C sort >"$scratch/expected"
	for readers in 1 16; do
		"$program" --readers "$readers" "$tree" | LC_ALL=C sort >"$scratch/output"
		diff "$scratch/expected" "$scratch/output" >"$scratch/diff" || fail "wc says otherwise: $(head "$scratch/diff")"
	done
	expect "$("$program" --total "$tree")" "$(grep ' total$' "$scratch/expected")"
	expect "$("$program" "$tree/1/file 1" | tail -n 1)" "$(wc <"$tree/1/file 1" | awk '{ print $1, $2, $3, "total" }')"
	# What cannot be read costs a line and the exit code, not the rest.
	python3 -c 'import sys; open(sys.argv[1] + b"/\xff", "w").write("x\n")' "$scratch" 2>/dev/null || true
	fails 1 "Too many open files" bash -c 'ulimit -n 30; exec "$@"' - "$program" --readers 100 --total "$tree"
	grep -q ' total$' "$scratch/stdout" || fail "no total: $(cat "$scratch/stdout")"
}

# A server of HTTP that behaves as the path says, well or badly.
web() {
	cat >"$scratch/web.py" <<-'END'
		import socket, sys, threading, time
		blob = open(sys.argv[1], "rb").read()
		ok = b"HTTP/1.1 200 OK\r\n"
		def chunked():
		    out, at, size = [], 0, 1
		    while at < len(blob):
		        piece = blob[at:at + size]
		        out.append(b"%x;name=value\r\n%s\r\n" % (len(piece), piece))
		        at, size = at + size, size * 3 % 70001 + 1
		    return b"".join(out) + b"0\r\nTrailer: x\r\n\r\n"
		def answer(path):
		    if path == "/length":
		        return ok + b"Content-Length: %d\r\n\r\n" % len(blob) + blob
		    if path == "/close":
		        return b"HTTP/1.0 200 OK\r\n\r\n" + blob
		    if path == "/chunked?q=1":
		        return b"HTTP/1.1 100 Continue\r\n\r\n" + ok + b"transfer-encoding:  chunked\r\n\r\n" + chunked()
		    if path == "/moved":
		        return b"HTTP/1.1 302 Found\r\nLocation: http://localhost:%d/relative#there\r\n\r\n" % port
		    if path == "/relative":
		        return b"HTTP/1.1 301 Moved\r\nLocation: /length\r\nContent-Length: 4\r\n\r\nhere"
		    if path == "/loop":
		        return b"HTTP/1.1 302 Found\r\nLocation: /loop\r\n\r\n"
		    if path == "/away":
		        return b"HTTP/1.1 302 Found\r\nLocation: https://localhost/\r\n\r\n"
		    if path == "/empty":
		        return b"HTTP/1.1 204 No Content\r\n\r\n"
		    if path == "/short":
		        return ok + b"Content-Length: 100\r\n\r\nnot a hundred"
		    if path == "/shortchunk":
		        return ok + b"Transfer-Encoding: chunked\r\n\r\nff\r\nnot 255"
		    if path == "/badchunk":
		        return ok + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n"
		    if path == "/badlength":
		        return ok + b"Content-Length: 12x\r\n\r\nhello"
		    if path == "/nonsense":
		        return b"SSH-2.0-OpenSSH\r\n\r\n"
		    if path == "/longline":
		        return ok + b"X: " + b"x" * 100000 + b"\r\n\r\n"
		    if path == "/manylines":
		        return ok + b"X: y\r\n" * 1000 + b"\r\n"
		    if path == "/nothing":
		        return b""
		    if path == "/silent":
		        time.sleep(30)
		    return b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nsorry"
		def serve(s):
		    try:
		        request = b""
		        while not request.endswith(b"\r\n\r\n"):
		            piece = s.recv(4096)
		            if not piece:
		                return
		            request += piece
		        if b"\r\nHost: " not in request:
		            return
		        s.sendall(answer(request.split()[1].decode()))
		    except OSError:
		        pass
		    finally:
		        s.close()
		listener = socket.create_server(("127.0.0.1", 0), backlog=100)
		port = listener.getsockname()[1]
		print(f"listening on 127.0.0.1, port {port}", flush=True)
		while True:
		    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
	END
	serve python3 "$scratch/web.py" "$1"
}

test_http_get() {
	need python3 cmp
	help_and_usage
	fails 2 usage "$program"
	fails 2 usage "$program" --seconds 0 http://localhost/
	for url in https://localhost/ ftp://x /path http:// 'http://x y/' "http://user@localhost/"; do
		fails 2 "not a URL" "$program" "$url"
	done
	local blob=$scratch/blob got=$scratch/got
	data "$blob" 8000001
	web "$blob"
	local base=http://127.0.0.1:$port
	for path in length close 'chunked?q=1' moved 'length#part'; do
		"$program" "$base/$path" >"$got" || fail "/$path: it ended with $?"
		cmp "$blob" "$got" || fail "/$path: not what the server sent"
		rm -f "$got"
		"$program" -o "$got" "http://localhost:$port/$path" || fail "/$path: it ended with $?"
		cmp "$blob" "$got" || fail "/$path: the file is not what the server sent"
	done
	"$program" "$base/empty" >"$got" || fail "/empty: it ended with $?"
	[[ ! -s $got ]] || fail "/empty: a body"
	if command -v curl >/dev/null; then
		cmp <(curl -s "$base/chunked?q=1") <("$program" "$base/chunked?q=1") || fail "curl gets something else"
	fi

	echo precious >"$got"
	fails 3 "the server answers 404" "$program" -o "$got" "$base/lost"
	fails 3 "the server answers 404" "$program" -o "$got" "$base"
	for path in short shortchunk badchunk badlength nonsense nothing; do
		fails 1 "the answer is broken, or ends early" "$program" -o "$got" "$base/$path"
	done
	for path in longline manylines; do
		fails 1 "the head of the answer is too long" "$program" -o "$got" "$base/$path"
	done
	fails 1 "too many redirects" "$program" "$base/loop"
	fails 1 "cannot follow to https://localhost/" "$program" "$base/away"
	fails 1 "longer than --max" "$program" --max 8000000 -o "$got" "$base/length"
	fails 1 "Connection timed out" "$program" --seconds 1 -o "$got" "$base/silent"
	fails 1 "Connection refused" "$program" http://127.0.0.1:1/
	fails 1 "http_get" "$program" -o "$scratch/no/file" "$base/length"
	fails 1 "File too large" bash -c 'trap "" XFSZ; ulimit -f 1000; exec "$@"' - "$program" -o "$got" "$base/length"
	expect "$(cat "$got")" precious
	[[ ! $(find "$scratch" -name '*.part*') ]] || fail "left behind: $(find "$scratch" -name '*.part*')"
	# Who reads no more is no reason to go on.
	expect "$({ "$program" "$base/length" 2>/dev/null || true; } | head -c 10 | wc -c)" 10
	kill "$server"
	wait "$server" || true
	server=
}

test_udp_ping() {
	help_and_usage
	fails 2 usage "$program"
	fails 2 usage "$program" --serve --drop 100
	fails 2 usage "$program" --port 1 --count 0
	fails 1 "udp_ping: 127.0.0.1, port no-such-service: " "$program" --port no-such-service
	serve "$program" --serve
	local output
	output=$("$program" --port "$port" --count 1000) || fail "it ended with $?: $output"
	[[ $output == *" 1000 came back, "*" 0 lost"* ]] || fail "$output"
	output=$("$program" --host localhost --port "$port" --count 20 --players 100) || fail "it ended with $?: $output"
	[[ $output == *" 2000 came back, "*" 0 lost"* ]] || fail "$output"
	fails 1 "Address already in use" "$program" --serve --port "$port"
	stop TERM
	# What is lost is sent again.
	serve "$program" --serve --drop 20
	output=$("$program" --port "$port" --count 10 --players 50) || fail "it ended with $?: $output"
	[[ $output == *" 500 came back, "*" 0 lost"* ]] || fail "$output"
	[[ ${output%% *} -gt 550 ]] || fail "the server has lost nothing: $output"
	stop INT
	grep -q "were lost on purpose" "$scratch/server" || fail "$(cat "$scratch/server")"
	# Nobody there.
	output=$("$program" --port "$port" --count 1) && fail "it ended with 0: $output"
	[[ $output == "8 balls sent, 0 came back, 0 stale, 1 lost" ]] || fail "$output"
}

# until_says FILE TEXT: waits for a line in it.
until_says() {
	for ((tries = 0; tries < 400; tries++)); do
		! grep -qxF -- "$2" "$1" || return 0
		sleep 0.05
	done
	fail "nobody says '$2' in $1: $(tail -n 5 "$1" | cut -c 1-200)"
}

test_chat() {
	need python3
	help_and_usage
	fails 2 usage "$program" "$scratch/socket"
	fails 2 usage "$program" "$scratch/socket" "a b"
	# The name of a socket must be short, and a build tree is deep.
	short=$(mktemp -d /tmp/weft-chat-XXXXXX)
	local socket=$short/socket
	fails 1 "$socket: No such file" "$program" "$socket" ada
	serve "$program" --serve "$socket"
	fails 1 "Address already in use" "$program" --serve "$socket"

	mkfifo "$scratch/ada.in" "$scratch/ben.in"
	"$program" "$socket" ada <"$scratch/ada.in" >"$scratch/ada" &
	local ada=$!
	exec 4>"$scratch/ada.in"
	echo "/who" >&4
	until_says "$scratch/ada" "* in hall: ada"
	"$program" "$socket" ben <"$scratch/ben.in" >"$scratch/ben" &
	local ben=$!
	exec 5>"$scratch/ben.in"
	until_says "$scratch/ada" "* ben enters"
	echo "hello, ada" >&5
	until_says "$scratch/ada" "ben: hello, ada"
	printf 'hello,\033[2Jben\n' >&4
	until_says "$scratch/ben" "ada: hello, [2Jben"
	expect "$("$program" "$socket" ada </dev/null)" "* ada: File exists"
	echo "/name ada" >&5
	until_says "$scratch/ben" "* you cannot be called ada"
	echo "/name bob" >&5
	until_says "$scratch/ada" "* ben is now bob"
	echo "/room loom" >&4
	until_says "$scratch/ben" "* ada leaves"
	until_says "$scratch/ada" "* you are in loom"
	echo "nobody hears this" >&4
	python3 -c 'print("x" * 5000)' >&4
	until_says "$scratch/ada" "* too long, at most 1024 bytes"
	echo "/who" >&5
	until_says "$scratch/ben" "* in hall: bob"
	echo "/quit" >&5
	wait "$ben" || fail "ben's client ended with $?"
	exec 5>&-
	! grep -q "nobody hears" "$scratch/ben" || fail "heard through the wall"

	# One who does not read is sent away, and holds nobody up: all of the lines reach the one who does.
	python3 - "$socket" <<-'END' || fail "the clients say so"
		import socket, sys
		def join(name):
		    s = socket.socket(socket.AF_UNIX)
		    s.settimeout(40)
		    s.connect(sys.argv[1])
		    s.sendall(name + b"\n/who\n")
		    s.recv(4096)
		    return s
		deaf, keen, loud = join(b"deaf"), join(b"keen"), join(b"loud")
		reader = keen.makefile("rb")
		seen = []
		for i in range(2000):
		    loud.sendall(b"%d " % i + b"y" * 1000 + b"\n")
		    while i % 20 == 19 and not seen[-1:] == [b"loud: %d" % i]:  # it keeps up
		        line = reader.readline()
		        if not line:
		            sys.exit("one who reads was sent away")
		        seen.append(line.split(b" y")[0])
		if [x for x in seen if x.startswith(b"loud: ")] != [b"loud: %d" % i for i in range(2000)]:
		    sys.exit("lines are missing")
		while b"* deaf leaves\n" not in seen:
		    seen.append(reader.readline())
		    if not seen[-1]:
		        sys.exit("the end, and one who does not read is still there")
	END

	# The end of the server is the end of its clients, though they are typing.
	stop TERM
	wait "$ada" || fail "ada's client ended with $?"
	exec 4>&-
	[[ ! -e $socket ]] || fail "the socket is left behind"

	# A server that is killed leaves it behind; the next one takes its place.
	serve "$program" --serve "$socket"
	kill -KILL "$server"
	wait "$server" || true
	[[ -S $socket ]] || fail "who has removed it?"
	python3 - "$socket" <<-'END'
		import socket, sys, time
		while True:  # the kernel takes the ring of a killed process, and what is in it, apart later
		    with socket.socket(socket.AF_UNIX) as s:
		        try:
		            s.connect(sys.argv[1])
		        except ConnectionRefusedError:
		            break
		    time.sleep(0.01)
	END
	serve "$program" --serve "$socket"
	expect "$(echo /who | "$program" "$socket" eve)" "* in hall: eve"
	stop INT
	echo text >"$short/text"
	fails 1 "Address already in use" "$program" --serve "$short/text"
	expect "$(cat "$short/text")" text
}

test_process_pipeline() {
	need python3 sha256sum
	help_and_usage
	fails 2 usage "$program"
	fails 2 usage "$program" cat '|'
	fails 2 usage "$program" '|' cat
	fails 2 usage "$program" cat '|' '|' cat
	fails 127 "no-such-program: No such file" "$program" cat '|' no-such-program
	fails 127 "no-such-program: No such file" "$program" no-such-program '|' cat
	fails 126 "$scratch: Permission denied" "$program" "$scratch"
	expect "$(printf 'b\na\nb\n' | "$program" tr a-z A-Z '|' sort '|' uniq -c | tr -s ' ')" $' 1 A\n 2 B'

	local blob=$scratch/blob
	data "$blob" 30000001
	expect "$("$program" cat '|' gzip -1 '|' gzip -d '|' sha256sum <"$blob")" "$(sha256sum <"$blob")"
	# shellcheck disable=SC2002  # through a pipe it is another matter than from a file
	expect "$(cat "$blob" | "$program" cat '|' cat | sha256sum)" "$(sha256sum <"$blob")"
	expect "$("$program" yes '|' head -n 1 </dev/null)" y
	# More input than anybody wants.
	expect "$(yes | "$program" head -n 1)" y

	fails 5 "" "$program" true '|' sh -c 'exit 5'
	fails 137 "" "$program" sh -c 'kill -KILL $$'
	"$program" sh -c 'exit 5' '|' true </dev/null || fail "it ended with $?, not as the last"
	fails 5 "" "$program" --pipefail sh -c 'exit 5' '|' true
	fails 0 "sh ended with 5" "$program" --verbose sh -c 'exit 5' '|' true
	fails 124 "" "$program" --seconds 1 sleep 1000 '|' cat
	# SIGTERM is ignored, so what comes after the grace is needed.
	fails 124 "" "$program" --seconds 1 sh -c 'trap "" TERM; while :; do sleep 1; done' '|' cat

	mkfifo "$scratch/endless"
	exec 4<>"$scratch/endless"
	"$program" sh -c 'echo $$; exec cat' '|' cat <"$scratch/endless" >"$scratch/child" &
	server=$!
	until [[ -s $scratch/child ]]; do sleep 0.05; done
	local code=0
	kill -TERM "$server"
	wait "$server" || code=$?
	server=
	[[ $code == 143 ]] || fail "stopped by SIGTERM it ended with $code"
	! kill -0 "$(cat "$scratch/child")" 2>/dev/null || fail "a child is left"
}

"test_$1"
