#!/bin/bash
# SPDX-License-Identifier: MIT
# docs_test.sh - Law: the program in README.md is examples/hello.c, its list of packages that of tools/setup; links in
# README.md and docs/ lead to files; each test that docs/FAULTS.md names exists. Prints how many faults are covered.
. tests/shell.sh

# Bazel hands in links to the real files: the tree they lead to is the one described.
tree=$(dirname "$(dirname "$(readlink -f examples/hello.c)")")
cd "$tree"

sed -n '/^```c$/,/^```$/p' README.md | sed '1d;/^```$/,$d' >"$scratch/shown.c"
sed '1,/^ \*\/$/d' examples/hello.c >"$scratch/real.c"
diff "$scratch/real.c" "$scratch/shown.c" || fail "README.md shows another hello.c, see above"

tools/setup --list build test bench | sort >"$scratch/installed"
sed -n '/^| package/,/^$/p' README.md | sed '1,2d' | cut -d'|' -f2 | tr -s ',; ' '\n' | sed '/^$/d' | sort >"$scratch/named"
diff "$scratch/installed" "$scratch/named" || fail "README.md names other packages than tools/setup installs, see above"

for page in README.md docs/*.md docs/adr/*.md; do
	while read -r link; do
		[[ -z $link || $link == http* || -e $(dirname "$page")/$link ]] ||
			fail "$page links to $link, which does not exist"
	done < <(grep -o '](\([^)#]*\)' "$page" | sed 's/^](//')
done

covered=0
rows=0
while IFS='|' read -r _ id _ _ tests _; do
	id=${id// /}
	rows=$((rows + 1))
	read -r -a names <<<"$(grep -o '`[A-Za-z]*\.[A-Za-z]*`' <<<"$tests" | tr -d '`' | tr '\n' ' ')"
	[[ ${#names[@]} -eq 0 ]] || covered=$((covered + 1))
	for name in "${names[@]}"; do
		grep -qrE "^TEST(_[FP])?\(${name/./, }\)" tests ||
			fail "docs/FAULTS.md, $id: there is no test $name"
	done
done < <(grep -E '^\| [A-Z][0-9]+ \|' docs/FAULTS.md)
[[ $rows -gt 0 ]] || fail "docs/FAULTS.md has no rows"
echo "faults covered: $covered of $rows"
