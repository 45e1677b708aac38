#!/bin/bash
# SPDX-License-Identifier: MIT
# install_test.sh - Law: what tools/install lays down serves a strict C11 and a C++17 program, shared and static, with
# pkg-config's flags alone; exports weft_* and nothing else; and leaves the program its own malloc.
. tests/shell.sh

prefix=$scratch/prefix
tools/install --from . "$prefix"
# Everything below works from another place: weft.pc must not remember where it was installed.
mv "$prefix" "$scratch/moved"
prefix=$scratch/moved
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
read -r -a cflags <<<"$(pkg-config --cflags weft)"
read -r -a shared <<<"$(pkg-config --libs weft)"
read -r -a static <<<"$(pkg-config --static --libs weft)"
# Bazel hands its inputs over as links; the program is compiled as a user's would be, from its own folder.
cp -L tests/tree/install/*.c "$scratch/"
cd "$scratch"
cp hello.c hello.cc

strict=(-Wall -Wextra -Wpedantic -Werror)
cc -std=c11 "${strict[@]}" hello.c "${cflags[@]}" "${shared[@]}" -o c_shared
cc -std=c11 "${strict[@]}" hello.c "${cflags[@]}" -static "${static[@]}" -o c_static
c++ -std=c++17 "${strict[@]}" hello.cc "${cflags[@]}" "${shared[@]}" -o cxx_shared
c++ -std=c++17 "${strict[@]}" hello.cc "${cflags[@]}" "$prefix/lib/libweft.a" -lm -lpthread -o cxx_archive
for program in c_shared c_static cxx_shared cxx_archive; do
	[[ $(./$program) == "hello from a fiber" ]] || fail "$program does not run"
done

# The stack of a small fiber is too short for the dynamic linker.
cc -std=c11 "${strict[@]}" ticker.c "${cflags[@]}" "$prefix/lib/libweft.a" -Wl,-z,lazy -lm -lpthread -o lazy_archive
[[ $(./lazy_archive) == "three ticks" ]] || fail "a ticker does not run in a program that binds lazily"

for program in weft-httpd weft-load; do
	"$prefix/bin/$program" --help >help || fail "$program is not installed, or has no --help"
	grep -qi usage help || fail "$program --help shows no usage"
done

major=$(awk '$2 == "WEFT_VERSION_MAJOR" { print $3 }' "$prefix/include/weft/version.h")
readelf -dW c_shared | grep -q "NEEDED.*\[libweft.so.$major\]" || fail "c_shared does not need libweft.so.$major"
readelf -dW "$prefix/lib/libweft.so" | grep -q "SONAME.*\[libweft.so.$major\]" || fail "the soname is not libweft.so.$major"

others=$(
	nm -g --defined-only --format=posix "$prefix/lib/libweft.a"
	nm -gD --defined-only --format=posix "$prefix/lib/libweft.so"
)
others=$(awk 'NF > 1 && $1 !~ /^weft_/ { print $1 }' <<<"$others")
[[ -z $others ]] || fail "exported beside weft_*: $others"
exported=$(nm -gD --defined-only "$prefix/lib/libweft.so")
grep -q ' T weft_run$' <<<"$exported" || fail "weft_run is not exported"

for file in "$prefix/lib/libweft.so" c_shared c_static cxx_archive "$prefix"/bin/*; do
	segments=$(readelf -lW "$file")
	grep -q 'GNU_STACK.* RW ' <<<"$segments" || fail "$file: the stack is executable"
	! grep -q ' RWE ' <<<"$segments" || fail "$file: a segment is both writable and executable"
done
readelf -dW "$prefix/lib/libweft.so" | grep -q 'FLAGS.*NOW' || fail "libweft.so is bound lazily"

cc -D_GNU_SOURCE malloc_owner.c "${cflags[@]}" "${shared[@]}" -o owner_shared
cc -D_GNU_SOURCE malloc_owner.c "${cflags[@]}" "$prefix/lib/libweft.a" -lm -lpthread -o owner_archive
for program in owner_shared owner_archive; do
	owners=$(./$program) || fail "$program: cannot tell where malloc comes from"
	! grep -v '/libc\.so\.6$' <<<"$owners" || fail "$program: weft replaces the malloc of the program, see above"
done
