// SPDX-License-Identifier: MIT

package main

import (
	"runtime"
	"sync"
	"time"
)

const (
	syncCrowd  = 8
	syncSlower = 4 // cases in which goroutines wait do that much less
)

// syncs asks what bench/sync.c asks of package sync. It has no semaphore and no event: a buffered channel of empty
// elements stands for both, as it does in Go programs.
func syncs(a args) {
	if runtime.GOMAXPROCS(0) == 1 {
		a.repeat("mutex, free", "ns/op", func() float64 { return mutexAlone(a.count) })
		a.repeat("rwlock, read, free", "ns/op", func() float64 { return readAlone(a.count) })
		a.repeat("semaphore, wait and post", "ns/op", func() float64 { return semAlone(a.count) })
		a.repeat("waitgroup, add, done, wait", "ns/op", func() float64 { return waitGroupCycle(a.count) })
		a.repeat("once, done before", "ns/op", func() float64 { return onceDone(a.count) })
	}
	a.repeat("mutex, 8 fibers, short", "ns/op", func() float64 { return mutexShort(a.count) })
	a.repeat("mutex, 8 fibers, holder yields", "ns/op", func() float64 { return mutexYields(a.count / syncSlower) })
	a.repeat("rwlock, 8 readers", "ns/op", func() float64 { return readers(a.count) })
	a.repeat("event, ping-pong", "ns/round", func() float64 { return eventPingPong(a.count/syncSlower + 1) })
	a.repeat("cond, ping-pong", "ns/round", func() float64 { return condPingPong(a.count/syncSlower + 1) })
}

func mutexAlone(count int) float64 {
	var mutex sync.Mutex
	start := time.Now()
	for i := 0; i < count; i++ {
		mutex.Lock()
		mutex.Unlock()
	}
	return perOp(start, count)
}

func readAlone(count int) float64 {
	var lock sync.RWMutex
	start := time.Now()
	for i := 0; i < count; i++ {
		lock.RLock()
		lock.RUnlock()
	}
	return perOp(start, count)
}

func semAlone(count int) float64 {
	sem := make(chan struct{}, 8)
	start := time.Now()
	for i := 0; i < count; i++ {
		sem <- struct{}{}
		<-sem
	}
	return perOp(start, count)
}

func waitGroupCycle(count int) float64 {
	var group sync.WaitGroup
	start := time.Now()
	for i := 0; i < count; i++ {
		group.Add(1)
		group.Done()
		group.Wait()
	}
	return perOp(start, count)
}

func onceDone(count int) float64 {
	var once sync.Once
	runs := 0
	run := func() { runs++ }
	once.Do(run)
	start := time.Now()
	for i := 0; i < count; i++ {
		once.Do(run)
	}
	took := perOp(start, count)
	if runs != 1 {
		die("sync: a once ran %d times", runs)
	}
	return took
}

// inCrowd runs body in eight goroutines, and returns the time for each of all their operations.
func inCrowd(each int, body func()) float64 {
	var all sync.WaitGroup
	start := time.Now()
	all.Add(syncCrowd)
	for i := 0; i < syncCrowd; i++ {
		go func() {
			body()
			all.Done()
		}()
	}
	all.Wait()
	return perOp(start, syncCrowd*each)
}

func mutexShort(count int) float64 {
	var shared struct {
		mutex  sync.Mutex
		number int
	}
	each := count/syncCrowd + 1
	took := inCrowd(each, func() {
		for i := 0; i < each; i++ {
			shared.mutex.Lock()
			shared.number++
			shared.mutex.Unlock()
		}
	})
	if shared.number != syncCrowd*each {
		die("sync: a mutex let two in")
	}
	return took
}

func mutexYields(count int) float64 {
	var shared struct {
		mutex  sync.Mutex
		number int
	}
	each := count/syncCrowd + 1
	took := inCrowd(each, func() {
		for i := 0; i < each; i++ {
			shared.mutex.Lock()
			shared.number++
			runtime.Gosched()
			shared.mutex.Unlock()
		}
	})
	if shared.number != syncCrowd*each {
		die("sync: a mutex let two in")
	}
	return took
}

func readers(count int) float64 {
	var shared struct {
		lock   sync.RWMutex
		number int
	}
	each := count/syncCrowd + 1
	return inCrowd(each, func() {
		sum := 0
		for i := 0; i < each; i++ {
			shared.lock.RLock()
			sum += shared.number
			shared.lock.RUnlock()
		}
		if sum != 0 {
			die("sync: a number that nobody writes has changed")
		}
	})
}

// eventPingPong has a channel of one element for each side: full, it is that side's turn; receiving waits and resets.
func eventPingPong(rounds int) float64 {
	var turn [2]chan struct{}
	turn[0] = make(chan struct{}, 1)
	turn[1] = make(chan struct{}, 1)
	take := func(side int) {
		mine, other := turn[side], turn[1-side]
		for i := 0; i < rounds; i++ {
			<-mine
			other <- struct{}{}
		}
	}
	var partner sync.WaitGroup
	start := time.Now()
	partner.Add(1)
	go func() {
		take(1)
		partner.Done()
	}()
	turn[0] <- struct{}{}
	take(0)
	partner.Wait()
	return perOp(start, rounds)
}

func condPingPong(rounds int) float64 {
	var mutex sync.Mutex
	cond := [2]*sync.Cond{sync.NewCond(&mutex), sync.NewCond(&mutex)}
	turn := 0
	take := func(side int) {
		for i := 0; i < rounds; i++ {
			mutex.Lock()
			for turn != side {
				cond[side].Wait()
			}
			turn = 1 - side
			cond[1-side].Signal()
			mutex.Unlock()
		}
	}
	var partner sync.WaitGroup
	start := time.Now()
	partner.Add(1)
	go func() {
		take(1)
		partner.Done()
	}()
	take(0)
	partner.Wait()
	return perOp(start, rounds)
}
