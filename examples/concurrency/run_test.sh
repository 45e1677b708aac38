#!/bin/bash
# SPDX-License-Identifier: MIT
# run_test.sh EXAMPLE PROGRAM - Law: each example prints what is said here, word for word, and ends with 0, on any
# number of workers.
. tests/shell.sh
program=$2

expected_pipeline() {
	cat <<-'END'
		1
		9
		25
		49
		81
		every stage has ended
	END
}

expected_fan_out() {
	echo "40 parts: 17984 primes below 200000"
}

expected_worker_pool() {
	cat <<-'END'
		12: 144
		7: 49
		seven: Invalid argument
		-3: 9
		100: 10000
		0: 0
	END
}

expected_timeout() {
	cat <<-'END'
		quick: in time
		answer: 42
		endless: Connection timed out
		patient: Connection timed out
		crowd: Connection timed out, 3 of 3 were told
		message: there
		message: Connection timed out
	END
}

expected_first_answer() {
	cat <<-'END'
		first answer: cadiz
		amsterdam: Connection refused
		bergen: Operation canceled
		cadiz: answered
		dublin: Operation canceled
	END
}

expected_rate_limiter() {
	cat <<-'END'
		request 1: not before 0 ms
		request 2: not before 0 ms
		request 3: not before 0 ms
		request 4: not before 20 ms
		request 5: not before 40 ms
		request 6: not before 60 ms
		request 7: not before 80 ms
		request 8: not before 100 ms
	END
}

expected_pub_sub() {
	cat <<-'END'
		ada, news: 5 received, sum 15, 0 missed
		ben, sport: 5 received, sum 150, 0 missed
		cleo, news: 2 received, sum 3, 3 missed
	END
}

expected_philosophers() {
	for i in 1 2 3 4 5; do
		echo "philosopher $i ate 10 times, fork $i was used 20 times"
	done
}

expected_graceful_shutdown() {
	cat <<-'END'
		server: SIGTERM
		server: accepts no more
		server: no connection is left
		idle request: answered
		brief request: answered
		long request: cut off
	END
}

expected_supervisor() {
	cat <<-'END'
		store: up
		cache: up
		fetcher: up
		fetcher: No route to host
		fetcher: restart 1 of 2
		fetcher: up
		fetcher: No route to host
		fetcher: restart 2 of 2
		fetcher: up
		fetcher: No route to host
		cache: stopped
		store: written
		store: stopped
		supervisor: No route to host
	END
}

"expected_$1" >"$scratch/expected"
for workers in 1 2 4; do
	WEFT_WORKERS=$workers "$program" >"$scratch/output" || fail "it ended with $? on $workers workers"
	diff "$scratch/expected" "$scratch/output" || fail "other output on $workers workers, see above"
done
