// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"math/rand"
	"sync/atomic"
	"time"
)

// As in bench/sleepers.c: time given for one goroutine to fall asleep, and the span of the deadlines.
const (
	leadCold = 20 * time.Microsecond
	leadWarm = 10 * time.Microsecond
	spread   = 2 * time.Second
)

func sleepers(a args) {
	var rss, arm, fire, late []float64
	for rep := 0; rep <= a.reps; rep++ {
		lead := leadWarm
		if rep == 0 {
			lead = leadCold
		}
		r, p, f, l := sleepOnce(a.count, lead)
		if rep == 0 {
			rss = append(rss, r) // the cold one
			continue
		}
		arm = append(arm, p)
		fire = append(fire, f)
		late = append(late, l)
	}
	text := func(what string) string { return fmt.Sprintf("%d, %s", a.count, what) }
	a.print(text("RSS when all sleep"), "bytes/fiber", rss)
	a.print(text("spawn, arm and park"), "ns/fiber", arm)
	a.print(text("CPU to fire, wake and end"), "ns/fiber", fire)
	a.print(text("latest after its deadline"), "us", late)
}

func sleepOnce(n int, leadEach time.Duration) (rss, armed, fired, latest float64) {
	var asleep, awake, worst, armedAt int64
	before, _, _ := memoryNow()
	random := rand.New(rand.NewSource(1))
	start := time.Now()
	first := start.Add(time.Duration(n)*leadEach + 100*time.Millisecond)
	for i := 0; i < n; i++ {
		deadline := first.Add(time.Duration(random.Int63n(int64(spread))))
		go func() {
			if atomic.AddInt64(&asleep, 1) == int64(n) {
				atomic.StoreInt64(&armedAt, time.Since(start).Nanoseconds())
			}
			time.Sleep(time.Until(deadline))
			by := time.Since(deadline).Nanoseconds()
			for seen := atomic.LoadInt64(&worst); by > seen; seen = atomic.LoadInt64(&worst) {
				if atomic.CompareAndSwapInt64(&worst, seen, by) {
					break
				}
			}
			atomic.AddInt64(&awake, 1)
		}()
	}
	for atomic.LoadInt64(&asleep) < int64(n) {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(10 * time.Millisecond)
	if time.Now().After(first) {
		die("sleepers: the first deadline passed before all were asleep")
	}
	armed = float64(atomic.LoadInt64(&armedAt)) / float64(n)
	after, _, _ := memoryNow()
	rss = (after - before) / float64(n)
	time.Sleep(time.Until(first))
	cpu := cpuTime()
	for atomic.LoadInt64(&awake) < int64(n) {
		time.Sleep(10 * time.Millisecond)
	}
	fired = float64((cpuTime() - cpu).Nanoseconds()) / float64(n)
	return rss, armed, fired, float64(worst) / 1e3
}
