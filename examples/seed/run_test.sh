#!/bin/bash
# SPDX-License-Identifier: MIT
# run_test.sh EXAMPLE COMMAND... - Law: each example, the C program as well as the Python one, prints golden/EXAMPLE.txt,
# byte for byte, and ends with 0. There each line ends with a $, and an address is 0xADDR.
. tests/shell.sh
example=$1
shift
command=("$@")

# prints GOLDEN COMMAND...
prints() {
	local golden=$1
	shift
	"$@" >"$scratch/stdout" 2>"$scratch/stderr" || fail "$* ended with $?: $(cat "$scratch/stderr")"
	[[ ! -s $scratch/stderr ]] || fail "$* complains: $(cat "$scratch/stderr")"
	sed -E 's/0x[0-9a-f]+/0xADDR/' "$scratch/stdout" | cat -E | diff "$golden" - || fail "$* prints something else, see above"
}

# fails CODE TEXT COMMAND...: it exits with the code, and says the text on stderr.
fails() {
	local wanted=$1 text=$2 code=0
	shift 2
	"$@" >"$scratch/stdout" 2>"$scratch/stderr" || code=$?
	[[ $code == "$wanted" ]] || fail "$* ended with $code, not $wanted: $(cat "$scratch/stderr")"
	grep -qF -- "$text" "$scratch/stderr" || fail "$* does not say '$text': $(cat "$scratch/stderr")"
}

# Debian's Python has Debian's greenlet and gevent.
if [[ ${command[0]} == python3 ]]; then
	[[ ! -x /usr/bin/python3 ]] || command[0]=/usr/bin/python3
	need "${command[0]}"
	for module in greenlet gevent; do
		! grep -q "^import $module\|^from $module" "${command[1]}" ||
			"${command[0]}" -c "import $module" 2>/dev/null ||
			skip "python3-$module is not installed (tools/setup test)"
	done
fi

arguments=()
case $example in
consumer)
	printf 'hello\nWorld 42\nlast' >"$scratch/lines"
	arguments=("$scratch/lines")
	;;
gevent_sleep)
	arguments=(0.02)
	;;
esac
prints "examples/seed/golden/$example.txt" "${command[@]}" "${arguments[@]}"

case $example:$# in
consumer:1)
	fails 2 usage "${command[@]}"
	fails 1 "$scratch/nothing: No such file" "${command[@]}" "$scratch/nothing"
	fails 1 "$scratch: Is a directory" "${command[@]}" "$scratch"
	# Lines longer than a stream's buffer, an empty one, and a file that ends with one.
	printf '%050000d\n\nx\n' 0 >"$scratch/lines"
	printf '%050000d$\n$\nprocessed line 0$\n$\n$\nprocessed line 1$\nX$\n$\nprocessed line 2$\n' 0 >"$scratch/golden"
	prints "$scratch/golden" "${command[@]}" "$scratch/lines"
	: >"$scratch/empty"
	prints "$scratch/empty" "${command[@]}" "$scratch/empty"
	;;
gevent_sleep:1)
	for nonsense in '' x 1x -1 nan 1001; do
		fails 2 usage "${command[@]}" "$nonsense"
	done
	fails 2 usage "${command[@]}" 1 1
	;;
esac
