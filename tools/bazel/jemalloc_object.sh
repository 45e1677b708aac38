#!/bin/bash
# SPDX-License-Identifier: MIT
# usage: jemalloc_object.sh CC OUT.a
#
# Makes OUT.a: the position-independent jemalloc of the system as one object in which only the *x entry points are
# global. malloc, free and operator new stay with the C library of the program that links it.
set -euo pipefail
cc=$1
out=$2
entry_points=(mallocx rallocx xallocx sallocx dallocx sdallocx nallocx mallctl malloc_stats_print)

archive=$("$cc" -print-file-name=libjemalloc_pic.a)
if [[ ! -f $archive ]]; then
	echo "libjemalloc_pic.a not found: install libjemalloc-dev (tools/setup does)" >&2
	exit 1
fi
objcopy=$("$cc" -print-prog-name=objcopy)
object=${out%.a}.o
"$cc" -r -nostdlib -o "$object" "${entry_points[@]/#/-Wl,-u,}" "$archive"
"$objcopy" "${entry_points[@]/#/--keep-global-symbol=}" "$object"
rm -f "$out"
"$("$cc" -print-prog-name=ar)" rcsD "$out" "$object"
rm -f "$object"
