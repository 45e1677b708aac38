#!/bin/bash
# SPDX-License-Identifier: MIT
# programs_test.sh NAME whole|parts - Law: the page docs/NAME.md shows each program of examples/NAME below a heading that
# links to it, and no other block. whole: once, word for word but for its opening comment. parts: in one or more
# passages, each of whole lines that stand in the program like that.
. tests/shell.sh
name=$1
how=$2

# Bazel hands in links to the real files: the tree they lead to is the one described.
for program in "examples/$name"/*.c; do
	tree=$(dirname "$(dirname "$(dirname "$(readlink -f "$program")")")")
done
cd "$tree"

# Each block of C becomes the file $scratch/shown/PROGRAM.N, where PROGRAM is what the heading above links to.
mkdir "$scratch/shown"
awk -v folder="$scratch/shown" -v name="$name" '
	function complain(what) {
		print FILENAME ":" FNR ": " what
		block = ""
		exit 1
	}
	block && /^```$/ { close(block); block = ""; next }
	block { print >block; next }
	/^#/ {
		program = ""
		link = "(../examples/" name "/"
		start = index($0, link)
		if (start) {
			program = substr($0, start + length(link))
			sub(/\).*/, "", program)
			if (headed[program]++)
				complain(program " has two headings")
		}
	}
	/^```./ && !/^```c$/ { complain("a block that is not C") }
	/^```/ {
		if (program == "")
			complain("a block below no program of its own")
		block = folder "/" program "." ++shown[program]
		printf "" >block
	}
	END { if (block) { print "a block without an end"; exit 1 } }
' "docs/$name.md" >"$scratch/complaints" || fail "$(cat "$scratch/complaints")"

count=0
for program in "examples/$name"/*.c; do
	file=${program##*/}
	[[ -e $scratch/shown/$file.1 ]] || fail "docs/$name.md does not show $program"
	if [[ $how == whole ]]; then
		[[ ! -e $scratch/shown/$file.2 ]] || fail "$file is shown twice"
		sed '1,/^ \*\/$/d' "$program" | diff - "$scratch/shown/$file.1" || fail "the page shows another $file, see above"
	fi
	text=$'\n'$(<"$program")$'\n'
	for block in "$scratch/shown/$file".*; do
		passage=$'\n'$(<"$block")$'\n'
		[[ $text == *"$passage"* ]] || fail "the page shows what is not in $file:" "$passage"
		rm "$block"
	done
	count=$((count + 1))
done
for block in "$scratch"/shown/*; do
	[[ ! -e $block ]] || fail "there is no ${block##*/} in examples/$name"
done
[[ $count -ge 8 ]] || fail "only $count programs"
echo "programs shown: $count"
