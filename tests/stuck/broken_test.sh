#!/bin/bash
# SPDX-License-Identifier: MIT
# broken_test.sh NAME PROGRAM - Law: what weft says on stderr about a program with a bug, by itself, names the cause and
# the fiber (or thread); and the program ends as weft/report.h and the other headers say.
. tests/shell.sh
export WEFT_LOG=warn
name=$1
program=$2

# Each line: an expression that a line of stderr matches. Names of functions are those of any optimisation.
said_by() {
	case $1 in
	lost_close)
		echo 'deadlock: all 2 fibers of the runtime wait, and nobody in it can wake them'
		echo 'fiber=[0-9]+ "start", .*joins fiber=[0-9]+ "printer"'
		echo 'fiber=[0-9]+ "printer", spawned at start\+.*, receives from channel 0x[0-9a-f]+ .*nobody sends'
		;;
	ab_ba)
		echo 'deadlock: 2 fibers wait for locks in a cycle, while others go on'
		echo 'fiber=[0-9]+ "rent", spawned at start\+.*, locks mutex 0x[0-9a-f]+ held by fiber=[0-9]+ "wages"'
		echo 'cycle: .*"(rent|wages)" locks mutex .*"(rent|wages)", which locks mutex'
		;;
	forgotten_waitgroup)
		echo 'fiber=[0-9]+ "collector", spawned at .*, waits for a waitgroup 0x[0-9a-f]+ \(1 not done\)'
		;;
	blocked_worker)
		echo 'long run: fiber=[0-9]+ "mailer", .*at start\+.*, has held worker 0 for [0-9]+ ms, in the system call clock_nanosleep'
		echo '#[0-9]+ send_mail\+0x[0-9a-f]+ \(blocked_worker\)'
		;;
	overflow)
		echo 'fatal: stack overflow: fiber=[0-9]+ "parser" stack=[0-9]+ created at start\+0x'
		;;
	leak)
		echo 'leak: 100 fibers spawned at accept_request\+0x.* neither joined nor detached \(fiber=[0-9]{10,} is one\)'
		;;
	double_join)
		echo 'weft_join at start\+.*, by fiber=[0-9]+ "start", of fiber=[0-9]{10,}, which was joined before'
		;;
	use_after_scope_end)
		echo 'fatal: weft_scope_spawn: the scope is not open fiber=[0-9]+ "watcher"'
		;;
	wrong_thread)
		echo 'weft_write at pass_on\+.*, by thread [0-9]+ "library", which runs no fiber'
		;;
	missed_cancel)
		echo 'fiber=[0-9]+ "poller", spawned at start\+'
		;;
	esac
}

status=0
WEFT_LEAKS=on timeout -s KILL 30 "$program" >"$scratch/out" 2>"$scratch/said" || status=$?
cat "$scratch/said"
case $name in
forgotten_waitgroup | lost_close)
	# ThreadSanitizer has a thread of its own, which could end the wait for all that weft knows.
	[[ $status -eq 134 ]] || grep -q "1 thread of the program's own may still end it" "$scratch/said" ||
		fail "$name ended with $status, not by an abort"
	;;
ab_ba | use_after_scope_end)
	[[ $status -eq 134 ]] || fail "$name ended with $status, not by an abort"
	;;
overflow)
	[[ $status -ne 0 && $status -ne 137 ]] || fail "$name ended with $status"
	;;
*)
	[[ $status -eq 0 ]] || fail "$name ended with $status"
	;;
esac
lines=0
while read -r line; do
	grep -qE "^weft: .*$line" "$scratch/said" || fail "$name: no line says: $line"
	lines=$((lines + 1))
done < <(said_by "$name")
[[ $lines -gt 0 ]] || fail "nothing is expected of $name"
