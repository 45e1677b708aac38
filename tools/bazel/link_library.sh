#!/bin/bash
# SPDX-License-Identifier: MIT
# usage: link_library.sh CC VERSION_H OUT.a OUT.so ARCHIVE...
#
# Makes the installed libraries from the archives of weft's layers. Everything, liburing, c-ares and jemalloc included,
# becomes one object in which only weft_* is global. That object is libweft.a's sole member and all of libweft.so, so
# both export the same names, and neither replaces the malloc of the program that uses it.
set -euo pipefail
cc=$1
version_h=$2
static=$3
shared=$4
shift 4

# Bazel may offer an archive twice, with and without position-independent code.
declare -A offered=()
for archive; do offered[$archive]=yes; done
archives=()
for archive; do
	case $archive in
	*.pic.a) archives+=("$archive") ;;
	*.a) [[ ${offered[${archive%.a}.pic.a]:-} ]] || archives+=("$archive") ;;
	esac
done

# find_archive NAME PACKAGE: where the compiler finds it.
find_archive() {
	local path
	path=$("$cc" -print-file-name="$1")
	if [[ ! -f $path ]]; then
		echo "$1 not found: install $2 (tools/setup does)" >&2
		exit 1
	fi
	printf '%s' "$path"
}
liburing=$(find_archive liburing.a liburing-dev)
libcares=$(find_archive libcares.a libc-ares-dev)
major=$(awk '$2 == "WEFT_VERSION_MAJOR" { print $3 }' "$version_h")
if [[ ! $major =~ ^[0-9]+$ ]]; then
	echo "$version_h does not define WEFT_VERSION_MAJOR as a number" >&2
	exit 1
fi

object=${static%.a}.o
"$cc" -r -nostdlib -o "$object" -Wl,--whole-archive "${archives[@]}" -Wl,--no-whole-archive \
	"$liburing" "$libcares"
"$("$cc" -print-prog-name=objcopy)" --wildcard --keep-global-symbol='weft_*' "$object"
rm -f "$static"
"$("$cc" -print-prog-name=ar)" rcsD "$static" "$object"

# nodelete: threads and allocator of a library that was started do not survive its unloading.
"$cc" -shared -o "$shared" -Wl,-soname,"libweft.so.$major" -Wl,--no-undefined \
	-Wl,-z,relro,-z,now,-z,noexecstack,-z,nodelete "$object" -lm -lpthread
rm -f "$object"
