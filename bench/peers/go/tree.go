// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"sync"
	"time"
)

// skynet joins its ten children with a WaitGroup, as bench/skynet.c joins them one by one; sums are returned through
// memory of the parent in both.
func skynet(a args) {
	leaves := 1
	for leaves*10 <= a.count {
		leaves *= 10
	}
	a.repeat(fmt.Sprintf("%d leaves", leaves), "ms", func() float64 {
		start := time.Now()
		sum := 0
		var root sync.WaitGroup
		root.Add(1)
		go grow(0, leaves, &sum, &root)
		root.Wait()
		if sum != leaves*(leaves-1)/2 {
			die("skynet: wrong sum %d", sum)
		}
		return perOp(start, 1) / 1e6
	})
}

func grow(first, leaves int, sum *int, parent *sync.WaitGroup) {
	defer parent.Done()
	if leaves == 1 {
		*sum = first
		return
	}
	var sums [10]int
	var children sync.WaitGroup
	children.Add(len(sums))
	for i := range sums {
		go grow(first+i*leaves/10, leaves/10, &sums[i], &children)
	}
	children.Wait()
	*sum = 0
	for _, s := range sums {
		*sum += s
	}
}

func fib(a args) {
	a.repeat(fmt.Sprintf("fib(%d)", a.count), "ms", func() float64 {
		start := time.Now()
		if got, want := fibOf(a.count), fibPlain(a.count); got != want {
			die("fib: wrong result %d", got)
		}
		return perOp(start, 1) / 1e6
	})
}

func fibOf(n int) int {
	if n < 2 {
		return n
	}
	var child sync.WaitGroup
	var other int
	child.Add(1)
	go func() {
		other = fibOf(n - 1)
		child.Done()
	}()
	mine := fibOf(n - 2)
	child.Wait()
	return other + mine
}

func fibPlain(n int) int {
	a, b := 0, 1
	for i := 0; i < n; i++ {
		a, b = b, a+b
	}
	return a
}
