// SPDX-License-Identifier: MIT

package main

import (
	"runtime"
	"sync"
	"time"
)

const selectFill = 1024

// selects asks what bench/select.c asks. Go's cases are fixed when it is compiled, so each number of channels is a
// loop of its own; weft's are an array.
func selects(a args) {
	if runtime.GOMAXPROCS(0) == 1 {
		a.repeat("2 channels, one ready", "ns/op", func() float64 { return oneReady(a.count, 2, drainTwo) })
		a.repeat("8 channels, one ready", "ns/op", func() float64 { return oneReady(a.count, 8, drainEight) })
		a.repeat("2 channels, none ready, deadline 0", "ns/op", func() float64 { return noneReady(a.count) })
	}
	a.repeat("2 channels, ping-pong", "ns/round", func() float64 { return selectPingPong(a.count) })
}

func oneReady(count, chans int, drain func([]chan uint64, int)) float64 {
	shelf := make([]chan uint64, chans)
	for i := range shelf {
		shelf[i] = make(chan uint64, selectFill)
	}
	turns := count/selectFill + 1
	var took time.Duration
	for turn := 0; turn < turns; turn++ {
		ready := turn % chans
		for i := uint64(0); i < selectFill; i++ {
			shelf[ready] <- i
		}
		start := time.Now()
		drain(shelf, ready)
		took += time.Since(start)
	}
	return float64(took.Nanoseconds()) / float64(turns*selectFill)
}

func drainTwo(shelf []chan uint64, ready int) {
	c0, c1 := shelf[0], shelf[1]
	for i := uint64(0); i < selectFill; i++ {
		var element uint64
		var index int
		select {
		case element = <-c0:
			index = 0
		case element = <-c1:
			index = 1
		}
		if index != ready || element != i {
			die("select: not the case that was ready")
		}
	}
}

func drainEight(shelf []chan uint64, ready int) {
	c0, c1, c2, c3 := shelf[0], shelf[1], shelf[2], shelf[3]
	c4, c5, c6, c7 := shelf[4], shelf[5], shelf[6], shelf[7]
	for i := uint64(0); i < selectFill; i++ {
		var element uint64
		var index int
		select {
		case element = <-c0:
			index = 0
		case element = <-c1:
			index = 1
		case element = <-c2:
			index = 2
		case element = <-c3:
			index = 3
		case element = <-c4:
			index = 4
		case element = <-c5:
			index = 5
		case element = <-c6:
			index = 6
		case element = <-c7:
			index = 7
		}
		if index != ready || element != i {
			die("select: not the case that was ready")
		}
	}
}

func noneReady(count int) float64 {
	one := make(chan uint64, selectFill)
	other := make(chan uint64, selectFill)
	start := time.Now()
	for i := 0; i < count; i++ {
		select {
		case <-one:
			die("select: a case of an empty channel was ready")
		case <-other:
			die("select: a case of an empty channel was ready")
		default:
		}
	}
	return perOp(start, count)
}

// await waits on c, but for what never comes too.
func await(c, never chan uint64) uint64 {
	select {
	case value := <-c:
		return value
	case <-never:
		die("select: something came that never comes")
	}
	return 0
}

func selectPingPong(rounds int) float64 {
	ping := make(chan uint64, 1)
	pong := make(chan uint64, 1)
	never := make(chan uint64, 1)
	var partner sync.WaitGroup
	start := time.Now()
	partner.Add(1)
	go func() {
		for i := 0; i < rounds; i++ {
			pong <- await(ping, never) + 1
		}
		partner.Done()
	}()
	for i := uint64(0); i < uint64(rounds); i++ {
		ping <- i
		if await(pong, never) != i+1 {
			die("select: a wrong answer")
		}
	}
	partner.Wait()
	return perOp(start, rounds)
}
