#!/bin/bash
# SPDX-License-Identifier: MIT
# gdb_test.sh - Law: tools/gdb/weft.py shows every fiber, where it waits and how it got there, of a process and of a core file,
# also when there are ten thousand; it leaves gdb's selection and the program as they were; and it says why when it can show
# nothing.
. tests/shell.sh
need gdb strip

parked=$PWD/$1
script=$PWD/tools/gdb/weft.py

# look FILE PROGRAM [CORE] -- COMMAND...: what gdb says to the commands, into FILE.
look() {
	local out=$1 files=() commands=()
	shift
	while [[ $1 != -- ]]; do
		files+=("$1")
		shift
	done
	shift
	for command; do commands+=(-ex "$command"); done
	timeout -s KILL 100 gdb -batch -nx -ex 'set debuginfod enabled off' -ex 'set width 0' -ex 'set confirm off' \
		-ex "source $script" "${commands[@]}" "${files[@]}" >"$out" 2>&1 </dev/null || true
	if grep -qiE 'ptrace: Operation not permitted|Could not trace the inferior' "$out"; then
		skip "gdb may not trace processes here (ptrace is refused)"
	fi
}

# has FILE PATTERN: some line matches.
has() {
	grep -qE -- "$2" "$1" || fail "nothing like '$2' in: $(cat "$1")"
}

# id FILE NAME: the id of the fiber with that name.
id() {
	awk -v name="\"$2\"" '$2 == name { print $1; exit }' "$1"
}

# Behind what each parked fiber waits for.
since=', parked for (at least )?[0-9.]+ (s|ms|us|ns)'

# lists FILE: what `weft fibers` must say of each.
lists() {
	local site='start\+0x[0-9a-f]+ \(parked\.c:[0-9]+\)$' on=' on 0x[0-9a-f]+'
	has "$1" '^[0-9]+ +"looker" +running +on worker [01], thread [0-9]+ +look_now \(parked\.c:[0-9]+\) +look_at_all '
	has "$1" '^[0-9]+ +"hog" +running +on worker [01], thread [0-9]+ +hog \(parked\.c:[0-9]+\) +'"$site"
	has "$1" '^[0-9]+ +"sleeper" +parked +weft_sleep (for [0-9]+ s more|with a deadline)'"$since"' +sleep_long \(parked\.c:[0-9]+\) +'"$site"
	has "$1" '^[0-9]+ +"pinned" +parked +weft_sleep '
	has "$1" '^[0-9]+ +- +parked +weft_sleep '
	has "$1" '^[0-9]+ +"locker" +parked +weft_mutex_lock'"$on"' held by fiber [0-9]+ "looker"'"$since"' +lock \(parked\.c:[0-9]+\) +'"$site"
	has "$1" '^[0-9]+ +"receiver" +parked +weft_chan_recv'"$on$since"' +receive \(parked\.c:[0-9]+\) +'"$site"
	has "$1" '^[0-9]+ +"small" +parked +weft_chan_recv'"$on$since"' +receive \(parked\.c:[0-9]+\) +'"$site"
	has "$1" '^[0-9]+ +"reader" +parked +weft_read'"$since"' +read_pipe \(parked\.c:[0-9]+\) +'"$site"
	has "$1" '^[0-9]+ +"joiner" +parked +weft_join for fiber [0-9]+ "sleeper"'"$since"' +join_sleeper '
	has "$1" '^[0-9]+ +"chooser" +parked +weft_select (for [0-9]+ s more|with a deadline)'"$since"' +choose \(parked\.c:[0-9]+\) +'"$site"
	has "$1" '^[0-9]+ +"waiter" +parked +weft_event_wait'"$on$since"' +wait_event \(parked\.c:[0-9]+\) +'"$site"
	has "$1" '^[0-9]+ +"generator" +parked +weft_event_wait'"$on$since"' +inner_body \(parked\.c:[0-9]+\) in a generator +'"$site"
	has "$1" '^[0-9]+ +"coroutine" +parked +weft_event_wait'"$on$since"' +coro_body \(parked\.c:[0-9]+\) in a coroutine +'"$site"
	has "$1" '^[0-9]+ +- +ended +- +- +'"$site"
	has "$1" '^15 fibers: 2 running, 12 parked, 1 ended$'
	has "$1" '^runtime [0-9]+: 2 workers'
	has "$1" '^[01] +[0-9]+ \(LWP [0-9]+\) .* runs fiber [0-9]+ "hog"(, stuck)?$'
	has "$1" '^[01] +[0-9]+ \(LWP [0-9]+\) .* runs fiber [0-9]+ "looker"(, stuck)?$'
}

# frames FILE FIBER FUNCTION...: the backtrace of the fiber of that name has these functions in this order, and nothing below its
# bottom.
frames() {
	local file=$1 name=$2 section at=0 here function
	shift 2
	section=$(awk -v start="^Fiber [0-9]+ \"$name\"" '$0 ~ start { on = 1 } on && !/^(Fiber |#|in a |\(gdb)/ { exit } on' "$file")
	for function in "$@" wf_context_entry; do
		here=$(tail -n "+$((at + 1))" <<<"$section" | grep -nE "^#[0-9]+ .*\b$function \(" | head -n 1 | cut -d: -f1) || true
		[[ $here ]] || fail "$name: no $function from line $at of its backtrace on: $section"
		at=$((at + here))
	done
	[[ -z $(tail -n "+$((at + 1))" <<<"$section") ]] || fail "$name: frames below the bottom: $section"
	[[ $(grep -oE '^#[0-9]+' <<<"$section" | tr -d '#\n') == "$(seq -s '' 0 $(($(grep -cE '^#[0-9]' <<<"$section") - 1)))" ]] ||
		fail "$name: frames are not numbered one after the other: $section"
}

# backtraces FILE: of `weft bt all`.
backtraces() {
	frames "$1" sleeper wf_park weft_sleep_until sleep_long wf_fiber_main
	frames "$1" locker wf_park wf_wait lock wf_fiber_main
	frames "$1" reader wf_park read_pipe wf_fiber_main
	frames "$1" small wf_park receive wf_fiber_main
	frames "$1" generator wf_park wf_wait inner_body outer_body generate wf_fiber_main
	frames "$1" coroutine wf_park wf_wait coro_body switch_coro wf_fiber_main
	frames "$1" hog hog wf_fiber_main
	frames "$1" looker look_now look_at_all wf_fiber_main
	has "$1" '^in a generator, body inner_body '
}

cd "$scratch"
everything=('weft fibers' 'weft workers' 'weft bt all')
look live "$parked" -- 'break look_now' run up 'info registers' "${everything[@]}" 'info registers' frame 'weft core core.weft' \
	'weft fibers -s parked -n s*' 'weft bt 17' 'weft bt' 'weft bt sleeper' "weft bt '(unsigned long)sleeper' 1" 'weft fibers -s strange' \
	'weft workers 1' delete continue
lists live
backtraces live
[[ $(grep -cE '^[0-9]+ +"(sleeper|small)" +parked' live) -eq 4 ]] || fail "-s and -n do not choose two: $(cat live)"
has live '^there is no fiber 17 now'
has live '^which fiber\?'
has live "invalid choice: 'strange'"
has live '^weft workers takes no arguments'
# Selected, in looker's backtrace, and still selected: the caller's frame; and its registers are what they were.
[[ $(grep -cE '^#1 .* look_at_all ' live) -eq 3 ]] || fail "the selected frame is another one now: $(cat live)"
[[ $(grep -E '^(rip|pc|rsp|sp|rbp|rbx) ' live | sort | uniq -c | awk '$1 != 2') == "" ]] || fail "registers have changed: $(cat live)"
has live 'exited normally'

look core "$parked" core.weft -- "${everything[@]}"
lists core
backtraces core

# The kernel's own, where it writes one that can be found.
if [[ $(cat /proc/sys/kernel/core_pattern) == core* ]] && ulimit -c unlimited 2>/dev/null; then
	mkdir kernels
	look dying "$parked" -- 'cd kernels' 'break look_now' run 'signal SIGABRT'
	file=$(find kernels -type f)
	if [[ $file ]]; then
		look kernel "$parked" "$file" -- "${everything[@]}"
		lists kernel
		backtraces kernel
	fi
fi

look many "$parked" -- 'break look_now' 'run 10000' 'weft fibers' 'weft core core.many'
look many_core "$parked" core.many -- 'weft fibers' 'weft bt all'
rm -f core.*
for out in many many_core; do
	has "$out" '^10015 fibers: 2 running, 10012 parked, 1 ended$'
	listed=$(grep -cE '^[0-9]+ +"one of many" +parked +weft_chan_recv on 0x[0-9a-f]+'"$since"' +receive \(parked\.c:[0-9]+\) +start\+' "$out") || true
	[[ $listed -eq 10000 ]] || fail "$out: $listed of 10,000 fibers are listed"
done
[[ $(grep -cE '^Fiber [0-9]+ "one of many"' many_core) -eq 10000 ]] || fail "not 10,000 backtraces"
[[ $(grep -cE '^#[0-9]+ .* receive \(' many_core) -eq 10002 ]] || fail "not every backtrace reaches the fiber's function"

# weft's own signal does not stop it.
look long "$parked" -- 'run long'
has long 'long run: '
has long 'exited normally'

look nothing "$parked" -- 'weft fibers'
has nothing '^there is no process'
look foreign /bin/true -- starti 'weft fibers' kill
has foreign '^no weft in this program'
strip -g -o stripped "$parked"
look stripped_out "$PWD/stripped" -- 'break *look_now' run 'weft fibers' kill
has stripped_out '^libweft has no debug information here: build it with -g'
look help "$parked" -- 'help weft' 'help weft bt'
has help '^weft fibers -- '
has help 'Usage: weft bt ID\|all'
