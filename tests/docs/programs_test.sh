#!/bin/bash
# SPDX-License-Identifier: MIT
# programs_test.sh PAGE whole|parts FOLDER - Law: the page docs/PAGE.md shows each program of examples/FOLDER below a
# heading that links to it, and no other block. whole: once, word for word but for its opening comment. parts: in one or
# more passages, each of whole lines that stand in the program like that. A program may have one of the same name in
# Python beside it, which is then shown below the same heading.
. tests/shell.sh
page=docs/$1.md
how=$2
folder=examples/$3

# Bazel hands in links to the real files: the tree they lead to is the one described.
for program in "$folder"/*.c; do
	tree=$(dirname "$(dirname "$(dirname "$(readlink -f "$program")")")")
done
cd "$tree"

# Each block becomes the file $scratch/shown/PROGRAM.N, where PROGRAM is what the heading above links to, or its
# namesake in Python.
mkdir "$scratch/shown"
awk -v shown="$scratch/shown" -v folder="$folder" '
	function complain(what) {
		print FILENAME ":" FNR ": " what
		block = ""
		exit 1
	}
	block && /^```$/ { close(block); block = ""; next }
	block { print >block; next }
	/^#/ {
		program = ""
		link = "(../" folder "/"
		start = index($0, link)
		if (start) {
			program = substr($0, start + length(link))
			sub(/\).*/, "", program)
			if (headed[program]++)
				complain(program " has two headings")
		}
	}
	/^```./ && !/^```(c|python)$/ { complain("a block that is no program") }
	/^```/ {
		if (program == "")
			complain("a block below no program of its own")
		file = program
		if (/python/)
			sub(/c$/, "py", file)
		block = shown "/" file "." ++blocks[file]
		printf "" >block
	}
	END { if (block) { print "a block without an end"; exit 1 } }
' "$page" >"$scratch/complaints" || fail "$(cat "$scratch/complaints")"

count=0
shopt -s nullglob
for program in "$folder"/*.c "$folder"/*.py; do
	file=${program##*/}
	[[ -e $scratch/shown/$file.1 ]] || fail "$page does not show $program"
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
	[[ ! -e $block ]] || fail "there is no ${block##*/} in $folder"
done
[[ $count -ge 8 ]] || fail "only $count programs"
echo "programs shown: $count"
