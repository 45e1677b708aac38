// SPDX-License-Identifier: MIT

package main

import (
	"runtime"
	"sync"
	"time"
)

// park asks what bench/park.c asks, in Go's words: the same two rounds, and, because Go has a bare
// hand-off, the channel ping-pong too (two parks and two wakes each round).
func park(a args) {
	a.repeat("join parks", "ns/round", func() float64 { return parkRounds(a.count, true) })
	a.repeat("join finds it ended", "ns/round", func() float64 { return parkRounds(a.count, false) })
	a.repeat("channel ping-pong: 2 parks, 2 wakes", "ns/round", func() float64 { return pingPong(a.count) })
}

// parkRounds uses plain flags: park.c's question is about one worker, and so is this one.
func parkRounds(n int, parks bool) float64 {
	var one sync.WaitGroup
	start := time.Now()
	for i := 0; i < n; i++ {
		var started, ended bool
		one.Add(1)
		go func() {
			started = true
			runtime.Gosched()
			ended = true
			one.Done()
		}()
		for !started {
			runtime.Gosched()
		}
		for !parks && !ended {
			runtime.Gosched()
		}
		one.Wait()
	}
	return perOp(start, n)
}

func pingPong(n int) float64 {
	ping := make(chan struct{})
	pong := make(chan struct{})
	go func() {
		for range ping {
			pong <- struct{}{}
		}
		close(pong)
	}()
	start := time.Now()
	for i := 0; i < n; i++ {
		ping <- struct{}{}
		<-pong
	}
	took := perOp(start, n)
	close(ping)
	<-pong
	return took
}
