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

"test_$1"
