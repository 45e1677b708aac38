// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"runtime"
	"sync"
	"time"
)

// spawnLoop is what a spawner does: a goroutine, and a wait for its end.
func spawnLoop(n int) {
	var one sync.WaitGroup
	for i := 0; i < n; i++ {
		one.Add(1)
		go one.Done()
		one.Wait()
	}
}

func spawn(a args) {
	a.repeat("spawn, then join", "ns/op", func() float64 {
		spawners := runtime.GOMAXPROCS(0)
		each := a.count/spawners + 1
		start := time.Now()
		if spawners == 1 {
			spawnLoop(each)
			return perOp(start, each)
		}
		var all sync.WaitGroup
		all.Add(spawners)
		for i := 0; i < spawners; i++ {
			go func() {
				spawnLoop(each)
				all.Done()
			}()
		}
		all.Wait()
		return perOp(start, each*spawners)
	})
}

// spawnMany keeps a channel for each goroutine, so that each has a join of its own, as weft_join has.
func spawnMany(a args) {
	var whole, spawns []float64
	ended := make([]chan struct{}, a.count)
	for rep := 0; rep <= a.reps; rep++ {
		start := time.Now()
		for i := range ended {
			done := make(chan struct{})
			ended[i] = done
			go close(done)
		}
		spawned := perOp(start, a.count)
		for _, done := range ended {
			<-done
		}
		if rep > 0 {
			whole = append(whole, perOp(start, a.count))
			spawns = append(spawns, spawned)
		}
	}
	a.print(fmt.Sprintf("%d, spawn all, join all", a.count), "ns/fiber", whole)
	a.print(fmt.Sprintf("%d, the spawns alone", a.count), "ns/fiber", spawns)
}
