// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"sync/atomic"
	"time"
)

// memory takes one cold sample: a goroutine's stack is never given back to compare a second time.
// "default stacks" is the C benchmark's name for what a caller gets who asks for nothing.
func memory(a args) {
	var atRest int64
	never := make(chan struct{})
	rss, tables, mappings := memoryNow()
	for i := 0; i < a.count; i++ {
		go func() {
			atomic.AddInt64(&atRest, 1)
			<-never
		}()
	}
	for atomic.LoadInt64(&atRest) < int64(a.count) {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(10 * time.Millisecond)
	rssNow, tablesNow, mappingsNow := memoryNow()
	n := float64(a.count)
	text := func(what string) string { return fmt.Sprintf("%d, default stacks, %s", a.count, what) }
	a.print(text("RSS"), "bytes/fiber", []float64{(rssNow - rss) / n})
	a.print(text("page tables"), "bytes/fiber", []float64{(tablesNow - tables) / n})
	a.print(text("mappings"), "in all", []float64{mappingsNow - mappings})
}
