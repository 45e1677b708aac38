#!/bin/bash
# SPDX-License-Identifier: MIT
# usage: run.sh FILE...
#
# Builds the .c and .S files given, those for x86-64 left out, as one static aarch64 program, with assertions on and
# libc's allocator, and runs it under qemu-user. That has no io_uring: tests here stop at the fiber core.
. tests/shell.sh

case ${1:-} in
"" | -h | --help)
	sed -n 's/^# \{0,1\}//p' "$0" | sed -n '3,6p'
	exit 2
	;;
esac
need aarch64-linux-gnu-gcc qemu-aarch64

sources=()
for file; do
	case $file in
	*_x86_64.*) ;;
	*.c | *.S) sources+=("$file") ;;
	esac
done

aarch64-linux-gnu-gcc -static -std=gnu11 -O2 -g -D_GNU_SOURCE -DWF_ALLOC_LIBC=1 -DWF_DEBUG=1 \
	-Wall -Wextra -Werror -fstack-clash-protection -Iinclude -iquote . \
	"${sources[@]}" -o "$scratch/program" -lpthread -lm
code=0
timeout 250 qemu-aarch64 "$scratch/program" || code=$?
[[ $code -eq 0 ]] || fail "exit code $code from the aarch64 program"
