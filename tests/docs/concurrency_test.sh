#!/bin/bash
# SPDX-License-Identifier: MIT
# concurrency_test.sh - Law: the page docs/concurrency.md shows each program of examples/concurrency once, word for word
# but for its opening comment, below a heading that links to it; and no other block.
. tests/shell.sh

# Bazel hands in links to the real files: the tree they lead to is the one described.
tree=$(dirname "$(dirname "$(dirname "$(readlink -f examples/concurrency/pipeline.c)")")")
cd "$tree"

# Each block of C becomes the file $scratch/shown/NAME, where NAME is the program the heading above links to.
mkdir "$scratch/shown"
awk -v folder="$scratch/shown" '
	function complain(what) {
		print FILENAME ":" FNR ": " what
		block = ""
		exit 1
	}
	block && /^```$/ { close(block); block = ""; next }
	block { print >block; next }
	/^#/ {
		name = ""
		if (match($0, /\(\.\.\/examples\/concurrency\/[a-z_]+\.c\)/))
			name = substr($0, RSTART + 25, RLENGTH - 26)
	}
	/^```./ && !/^```c$/ { complain("a block that is not C") }
	/^```/ {
		if (name == "")
			complain("a block below no program of its own")
		if (shown[name]++)
			complain(name " is shown twice")
		block = folder "/" name
		name = ""
		printf "" >block
	}
	END { if (block) { print "a block without an end"; exit 1 } }
' docs/concurrency.md >"$scratch/complaints" || fail "$(cat "$scratch/complaints")"

count=0
for program in examples/concurrency/*.c; do
	name=${program##*/}
	[[ -e $scratch/shown/$name ]] || fail "docs/concurrency.md does not show $program"
	sed '1,/^ \*\/$/d' "$program" | diff - "$scratch/shown/$name" || fail "the page shows another $name, see above"
	rm "$scratch/shown/$name"
	count=$((count + 1))
done
for name in "$scratch"/shown/*; do
	[[ ! -e $name ]] || fail "there is no ${name##*/} in examples/concurrency"
done
[[ $count -ge 10 ]] || fail "only $count programs"
echo "programs shown: $count"
