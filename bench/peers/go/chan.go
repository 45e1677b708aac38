// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"runtime"
	"sync"
	"time"
)

// channels asks what bench/chan.c asks, case by case: the same elements, buffers and numbers, and the same ends
// (who produced closes, or is waited for).
func channels(a args) {
	a.repeat("ping-pong, no buffer", "ns/round", func() float64 { return chanPingPong(a.count) })
	if runtime.GOMAXPROCS(0) == 1 {
		a.repeat("buffer 128, one fiber: send, receive", "ns/pair", func() float64 { return chanAlone(a.count) })
	}
	a.repeat("buffer 128, 1 producer, 1 consumer", "ns/element", func() float64 { return throughBelt(a.count, 1) })
	a.repeat("buffer 128, 4 producers, 4 consumers", "ns/element", func() float64 { return throughBelt(a.count, 4) })
	for _, s := range []struct {
		primes int
		last   uint64
	}{{100, 541}, {1000, 7919}} {
		s := s
		text := fmt.Sprintf("sieve, %d primes", s.primes)
		a.repeat(text, "ms", func() float64 { return runSieve(s.primes, s.last) })
	}
}

func chanPingPong(rounds int) float64 {
	ping := make(chan uint64)
	pong := make(chan uint64)
	var partner sync.WaitGroup
	start := time.Now()
	partner.Add(1)
	go func() {
		for i := 0; i < rounds; i++ {
			pong <- <-ping + 1
		}
		partner.Done()
	}()
	for i := uint64(0); i < uint64(rounds); i++ {
		ping <- i
		if <-pong != i+1 {
			die("chan: a wrong answer")
		}
	}
	partner.Wait()
	return perOp(start, rounds)
}

func chanAlone(count int) float64 {
	c := make(chan uint64, 128)
	start := time.Now()
	for i := uint64(0); i < uint64(count); i++ {
		c <- i
		if <-c != i {
			die("chan: a wrong element")
		}
	}
	return perOp(start, count)
}

func throughBelt(count, side int) float64 {
	each := uint64(count/side + 1)
	belt := make(chan uint64, 128)
	var producers, consumers sync.WaitGroup
	var lock sync.Mutex
	var total uint64
	start := time.Now()
	consumers.Add(side)
	for i := 0; i < side; i++ {
		go func() {
			sum := uint64(0)
			for value := range belt {
				sum += value
			}
			lock.Lock()
			total += sum
			lock.Unlock()
			consumers.Done()
		}()
	}
	producers.Add(side)
	for i := 0; i < side; i++ {
		go func() {
			for i := uint64(1); i <= each; i++ {
				belt <- i
			}
			producers.Done()
		}()
	}
	producers.Wait()
	close(belt)
	consumers.Wait()
	took := perOp(start, side*int(each))
	if total != uint64(side)*(each*(each+1)/2) {
		die("chan: what was received is not what was sent")
	}
	return took
}

func runSieve(primes int, last uint64) float64 {
	var links sync.WaitGroup
	start := time.Now()
	out := make(chan uint64)
	links.Add(1)
	go func(out chan<- uint64) {
		for i := uint64(2); i <= last; i++ {
			out <- i
		}
		close(out)
		links.Done()
	}(out)
	for i := 1; i < primes; i++ {
		in := out
		prime := <-in
		out = make(chan uint64)
		links.Add(1)
		go func(in <-chan uint64, out chan<- uint64) {
			for value := range in {
				if value%prime != 0 {
					out <- value
				}
			}
			close(out)
			links.Done()
		}(in, out)
	}
	prime := <-out
	_, more := <-out
	if prime != last || more {
		die("chan: %d is not the last prime", prime)
	}
	links.Wait()
	return perOp(start, 1) / 1e6
}
