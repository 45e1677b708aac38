// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// yieldAmong times a.count calls of Gosched spread over n goroutines that all stand at a gate first.
func yieldAmong(a args, n int) float64 {
	var atGate, running int64
	var open int32
	var end time.Duration
	var all sync.WaitGroup
	each := a.count/n + 1
	began := time.Now()
	running = int64(n)
	all.Add(n)
	for i := 0; i < n; i++ {
		go func() {
			atomic.AddInt64(&atGate, 1)
			for atomic.LoadInt32(&open) == 0 {
				runtime.Gosched()
			}
			for i := 0; i < each; i++ {
				runtime.Gosched()
			}
			if atomic.AddInt64(&running, -1) == 0 {
				end = time.Since(began)
			}
			all.Done()
		}()
	}
	for atomic.LoadInt64(&atGate) < int64(n) {
		runtime.Gosched()
	}
	start := time.Since(began)
	atomic.StoreInt32(&open, 1)
	all.Wait()
	return float64((end - start).Nanoseconds()) / float64(n*each)
}

func yield(a args) {
	for _, n := range []int{2, 10000} {
		a.repeat(fmt.Sprintf("%d fibers", n), "ns/op", func() float64 { return yieldAmong(a, n) })
	}
}
