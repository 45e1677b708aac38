#!/bin/bash
# SPDX-License-Identifier: MIT
# smoke_test.sh - every benchmark still runs, answers --help, refuses nonsense and prints JSON lines
#
# Law: a benchmark that was not run is broken. Small counts, one repetition: nothing here is a
# measurement. Arguments: the programs, echo_load and the servers among them.
set -euo pipefail

die() {
	printf 'smoke_test: %s\n' "$@" >&2
	exit 1
}

# Every line of stdin is a JSON object with the fields that tools/bench reads, and there is one.
check_lines() {
	python3 -c '
import json, sys
lines = [json.loads(line) for line in sys.stdin]
assert lines, "no result line"
for line in lines:
    assert line["reps"] == len(line["samples"]) > 0, line
    assert line["min"] <= line["median"] <= line["max"], line
    assert line["bench"] and line["case"] and line["who"] and line["unit"], line
    assert line["workers"] > 0, line
' || die "$1: bad output"
}

declare -A path
for program; do
	path[$(basename "$program")]=$program
done

count_for() {
	case $1 in
	fib) echo 12 ;;
	*) echo 2000 ;;
	esac
}

for name in "${!path[@]}"; do
	program=${path[$name]}
	[[ $name != uring_echo ]] || continue
	"$program" --help | grep -q "$name" || die "$name: --help says nothing"
	status=0
	"$program" --no-such-option 2>/dev/null || status=$?
	[[ $status -eq 2 ]] || die "$name: an unknown option gives status $status, not 2"
	case $name in
	echo_load | echo_server) ;;
	*) "$program" --reps 1 --count "$(count_for "$name")" | check_lines "$name" ;;
	esac
done

for server in echo_server uring_echo; do
	"${path[echo_load]}" --window-ms 50 --reps 1 --who "$server" -- "${path[$server]}" |
		check_lines "$server"
done
