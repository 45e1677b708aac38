#!/bin/bash
# SPDX-License-Identifier: MIT
# hangs_test.sh - Law: docs/hangs.md shows each program of tests/stuck/broken below a heading that links to it, in passages
# that stand in the program like that, and the lines "weft: ..." shown there are lines that the program prints, but for numbers.
. tests/shell.sh
programs=$PWD/tests/stuck
folder=tests/stuck/broken

# Bazel hands in links to the real files: the tree they lead to is the one described.
tree=$(readlink -f $folder/leak.c)
tree=${tree%/"$folder"/leak.c}
cd "$tree"

# $scratch/PROGRAM.said: the lines shown; $scratch/PROGRAM.N: the blocks.
awk -v scratch="$scratch" -v folder="$folder" '
	block && /^```$/ { close(block); block = ""; next }
	block { print >block; next }
	/^#/ {
		program = ""
		start = index($0, "(../" folder "/")
		if (start) {
			program = substr($0, start + length(folder) + 5)
			sub(/\.c\).*/, "", program)
		}
	}
	/^```/ { block = scratch "/" program "." ++blocks[program] }
	/^    weft: / && program { print substr($0, 5) >(scratch "/" program ".said") }
' docs/hangs.md

# What differs between two runs, and between two builds.
plain() {
	sed -E 's/\+0x[0-9a-f]+/+X/g; s/0x[0-9a-f]+/X/g; s/[0-9.]+ (ms|s)\b/T/g; s/[0-9]+/N/g' "$1"
}

count=0
for source in "$folder"/*.c; do
	name=$(basename "$source" .c)
	[[ -e $scratch/$name.1 && -e $scratch/$name.said ]] || fail "docs/hangs.md does not show $source and what weft says"
	text=$'\n'$(<"$source")$'\n'
	for block in "$scratch/$name".[0-9]*; do
		passage=$'\n'$(<"$block")$'\n'
		[[ $text == *"$passage"* ]] || fail "the page shows what is not in $source:" "$passage"
	done
	WEFT_LEAKS=on timeout -s KILL 60 "$programs/$name" >"$scratch/out" 2>"$scratch/err" || true
	plain "$scratch/err" >"$scratch/printed"
	plain "$scratch/$name.said" >"$scratch/shown"
	while read -r line; do
		grep -qxF -- "$line" "$scratch/printed" || fail "$name does not print: $line" "but: $(<"$scratch/err")"
	done <"$scratch/shown"
	count=$((count + 1))
done
[[ $count -ge 10 ]] || fail "only $count programs"
echo "programs shown: $count"
