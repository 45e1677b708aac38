#!/bin/bash
# SPDX-License-Identifier: MIT
# readme_test.sh - Law: the program in README.md is examples/hello.c, and its links lead to files.
. tests/shell.sh

# Bazel hands in links to the real files: the tree they lead to is the one README.md describes.
tree=$(dirname "$(dirname "$(readlink -f examples/hello.c)")")
readme=$tree/README.md

sed -n '/^```c$/,/^```$/p' "$readme" | sed '1d;/^```$/,$d' >"$scratch/shown.c"
sed '1,/^ \*\/$/d' "$tree/examples/hello.c" >"$scratch/real.c"
diff "$scratch/real.c" "$scratch/shown.c" || fail "README.md shows another hello.c, see above"

while read -r link; do
	[[ $link == http* || -e $tree/$link ]] || fail "README.md links to $link, which does not exist"
done < <(grep -o '](\([^)#]*\)' "$readme" | sed 's/^](//')
