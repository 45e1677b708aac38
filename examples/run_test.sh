#!/bin/bash
# SPDX-License-Identifier: MIT
# run_test.sh EXAMPLE PROGRAM - Law: each example does what its first comment says, and ends.
. tests/shell.sh
program=$2

expect() {
	[[ $1 == "$2" ]] || fail "expected:" "$2" "but got:" "$1"
}

test_hello() {
	expect "$("$program")" $'hello after 100 ms\nhello after 200 ms\nhello after 300 ms'
}

test_parallel_sum() {
	local output
	output=$(WEFT_WORKERS=4 "$program" 20000)
	expect "$(head -n 1 <<<"$output")" "sum of the primes below 20000: 21171191"
	[[ $output == *"16 fibers on 4 workers"* ]] || fail "not the fibers expected: $output"
	expect "$("$program" 2 | head -n 1)" "sum of the primes below 2: 0"
	"$program" --help 2>&1 | grep -q '^usage' || fail "--help shows no usage"
	for nonsense in -1 x 5x '' 100000001; do
		if "$program" "$nonsense" >/dev/null 2>&1; then fail "takes '$nonsense' for a number"; fi
	done
}

test_deadline() {
	expect "$("$program")" "$(
		cat <<-'END'
			read: Connection timed out after 100 ms
			session: weft_sleep says Operation canceled
			read: goodbye
		END
	)"
}

test_echo_server() {
	local port start=$SECONDS
	: >"$scratch/output"
	"$program" --seconds 3 >"$scratch/output" &
	server=$!
	trap 'kill "$server" 2>/dev/null; rm -rf "$scratch"' EXIT
	for ((tries = 0; tries < 100; tries++)); do
		port=$(sed -n 's/^listening on .*, port //p' "$scratch/output")
		[[ -z $port ]] || break
		sleep 0.05
	done
	[[ $port ]] || fail "the server does not listen"

	# Two clients at a time; the second says nothing, and is still there when the server ends.
	exec 3<>"/dev/tcp/127.0.0.1/$port" 4<>"/dev/tcp/127.0.0.1/$port"
	for word in warp weft shuttle; do
		echo "$word" >&3
		read -r -t 10 answer <&3 || fail "no answer to '$word'"
		expect "$answer" "$word"
	done
	exec 3>&-

	wait "$server" || fail "the server ended with $?"
	trap 'rm -rf "$scratch"' EXIT
	[[ $((SECONDS - start)) -le 30 ]] || fail "an open connection held the server"
	! read -r -t 10 answer <&4 || fail "data from nowhere: $answer"

	"$program" --help | grep -q '^usage' || fail "--help shows no usage"
	for nonsense in '--seconds 0' '--seconds x' '--listen' 'x'; do
		# shellcheck disable=SC2086  # an option and its value
		if "$program" $nonsense >/dev/null 2>&1; then fail "takes $nonsense"; fi
	done
	if "$program" --listen nonsense 2>"$scratch/error"; then fail "listens on nonsense"; fi
	expect "$(cat "$scratch/error")" "echo_server: nonsense: Invalid argument"
}

"test_$1"
