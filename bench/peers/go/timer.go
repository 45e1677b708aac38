// SPDX-License-Identifier: MIT

package main

import (
	"runtime"
	"time"
)

// timer has no peer of weft_deadline or of cancelling a sleep; the nearest are a timer reset and stopped, and
// 10,000 goroutines that wait for a timer of an hour or for a channel that is closed for each.
func timer(a args) {
	one := time.NewTimer(time.Hour)
	a.repeat("set and clear a deadline", "ns/op", func() float64 {
		start := time.Now()
		for i := 0; i < a.count; i++ {
			one.Reset(time.Hour)
			one.Stop()
		}
		return perOp(start, a.count)
	})
	var arm, cancel []float64
	for rep := 0; rep <= a.reps; rep++ {
		armed, cancelled := crowd()
		if rep > 0 {
			arm = append(arm, armed)
			cancel = append(cancel, cancelled)
		}
	}
	a.print("10000 sleepers: spawn, arm, park", "ns/fiber", arm)
	a.print("10000 sleepers: cancel, wake, join", "ns/fiber", cancel)
}

func crowd() (arm, cancel float64) {
	const n = 10000
	var stop, ended [n]chan struct{}
	asleep := 0 // plain: one worker
	start := time.Now()
	for i := range stop {
		stop[i] = make(chan struct{})
		ended[i] = make(chan struct{})
		go func(stop, ended chan struct{}) {
			asleep++
			hour := time.NewTimer(time.Hour)
			select {
			case <-stop:
			case <-hour.C:
				die("timer: an hour has passed")
			}
			hour.Stop()
			close(ended)
		}(stop[i], ended[i])
	}
	for asleep < n {
		runtime.Gosched()
	}
	arm = perOp(start, n)
	start = time.Now()
	for _, c := range stop {
		close(c)
	}
	for _, c := range ended {
		<-c
	}
	return arm, perOp(start, n)
}
