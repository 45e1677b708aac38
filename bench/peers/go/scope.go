// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// group is what comes nearest to a scope with the standard library alone: a WaitGroup, a context, and the first
// error, which cancels. It is what package errgroup does, written out.
type group struct {
	all    sync.WaitGroup
	ctx    context.Context
	cancel context.CancelFunc
	once   sync.Once
	err    error
}

func openGroup(outer context.Context) *group {
	ctx, cancel := context.WithCancel(outer)
	return &group{ctx: ctx, cancel: cancel}
}

func (g *group) spawn(task func(context.Context) error) {
	g.all.Add(1)
	go func() {
		defer g.all.Done()
		if err := task(g.ctx); err != nil {
			g.once.Do(func() {
				g.err = err
				g.cancel()
			})
		}
	}()
}

func (g *group) close() error {
	g.all.Wait()
	g.cancel()
	return g.err
}

func scopes(a args) {
	a.repeat("open, spawn 1, close", "ns/scope", func() float64 { return withChildren(a.count, 1) })
	a.repeat("open, spawn 100, close", "ns/child", func() float64 { return withChildren(a.count/100+1, 100) })
	if runtime.GOMAXPROCS(0) == 1 {
		a.repeat("8 nested, open and close", "ns/scope", func() float64 { return nestedGroups(a.count/8 + 1) })
	}
	a.repeat("cancel and close, 1000 parked", "ns/child", func() float64 { return cancelCrowds(a.count/4/1000 + 1) })
}

func withChildren(count, children int) float64 {
	nothing := func(context.Context) error { return nil }
	start := time.Now()
	for i := 0; i < count; i++ {
		g := openGroup(context.Background())
		for child := 0; child < children; child++ {
			g.spawn(nothing)
		}
		if err := g.close(); err != nil {
			die("scope: %v", err)
		}
	}
	return perOp(start, count*children)
}

func nestedGroups(turns int) float64 {
	const depth = 8
	var groups [depth]*group
	start := time.Now()
	for turn := 0; turn < turns; turn++ {
		outer := context.Background()
		for i := range groups {
			groups[i] = openGroup(outer)
			outer = groups[i].ctx
		}
		for i := depth - 1; i >= 0; i-- {
			if err := groups[i].close(); err != nil {
				die("scope: %v", err)
			}
		}
	}
	return perOp(start, turns*depth)
}

// cancelCrowds has goroutines that wait on a channel and obey their context: a select of both.
func cancelCrowds(turns int) float64 {
	const crowd = 1000
	never := make(chan struct{})
	var took time.Duration
	for turn := 0; turn < turns; turn++ {
		var waiting, cancelled int64
		g := openGroup(context.Background())
		for i := 0; i < crowd; i++ {
			g.spawn(func(ctx context.Context) error {
				atomic.AddInt64(&waiting, 1)
				select {
				case <-never:
				case <-ctx.Done():
					atomic.AddInt64(&cancelled, 1)
				}
				return nil
			})
		}
		for atomic.LoadInt64(&waiting) < crowd {
			runtime.Gosched()
		}
		start := time.Now()
		g.cancel()
		err := g.close()
		took += time.Since(start)
		if err != nil || cancelled != crowd {
			die("scope: the close gave %v, and %d children were cancelled", err, cancelled)
		}
	}
	return float64(took.Nanoseconds()) / float64(turns*crowd)
}
