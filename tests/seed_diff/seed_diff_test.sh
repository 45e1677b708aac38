#!/bin/bash
# SPDX-License-Identifier: MIT
# seed_diff_test.sh gen|coro [OPTION...] - Law: random programs of generators, or of coroutines, have the same trace on weft (on a plain
# thread, in a fiber, each step in a fiber of its own) as on CPython 3.11 and greenlet. In an asan build also: nothing leaks.
#
# More of them, by hand, with the options of seed_diff.py:
#   bazel run //tests/seed_diff:gen_test -- --seed 2 --count 100000
. tests/shell.sh
kind=$1
shift
folder=tests/seed_diff

# Debian's packages, greenlet among them, are for its own Python.
python=/usr/bin/python3
[[ -x $python ]] || python=python3
need "$python"
"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' ||
	skip "$python is not CPython 3.11, whose generators are the reference"
if [[ $kind == coro ]]; then
	"$python" -c 'import greenlet' 2>/dev/null || skip "$python has no greenlet (tools/setup test)"
fi

options=(--seed 1 --count 10000 --modes thread,fiber,hop)
(($# == 0)) || options=("$@")
"$python" "$folder/seed_diff.py" --machine "$folder/machine" --kind "$kind" "${options[@]}" || fail "see above"
