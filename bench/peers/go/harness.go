// SPDX-License-Identifier: MIT

// The Go peer of bench/: the same questions, asked of goroutines.
//
// One program, one file a question, the same options and the same JSON lines as the C benchmarks; needs no module
// and no network: go build -o bench_go bench/peers/go/*.go. Only result lines go to stdout.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"
	"syscall"
	"time"
)

// args are the options of one run; count is the question's own default unless given.
type args struct {
	bench string
	reps  int
	count int
	quick bool
}

// question is one entry of the table in main; count and quick are the defaults of --count.
type question struct {
	asks         string
	run          func(args)
	count, quick int
}

var questions = map[string]question{
	"yield":       {"runtime.Gosched between 2 and among 10,000 goroutines", yield, 2000000, 200000},
	"spawn":       {"go and WaitGroup.Wait of an empty goroutine, one after another", spawn, 1000000, 100000},
	"spawn_many":  {"a million goroutines spawned first, waited for afterwards", spawnMany, 1000000, 100000},
	"park":        {"two goroutines and two unbuffered channels", park, 500000, 50000},
	"sleepers":    {"a million goroutines in time.Sleep", sleepers, 1000000, 100000},
	"memory":      {"memory of a million goroutines blocked on a channel", memory, 1000000, 100000},
	"chan":        {"elements through channels, and the sieve of primes", channels, 1000000, 100000},
	"select":      {"select with a case ready, with none, and between two goroutines", selects, 1000000, 100000},
	"sync":        {"Mutex, RWMutex, WaitGroup, Once, Cond; channels as semaphore and event", syncs, 2000000, 200000},
	"scope":       {"a WaitGroup, a context and the first error, as errgroup has them", scopes, 400000, 40000},
	"timer":       {"timers armed and stopped", timer, 2000000, 200000},
	"skynet":      {"a ten-way tree of goroutines with a million leaves", skynet, 1000000, 100000},
	"fib":         {"fib(n), every fib(n - 1) a goroutine of its own", fib, 25, 20},
	"echo_server": {"serves echo on a free port of 127.0.0.1 until killed", echoServer, 0, 0},
}

func die(format string, values ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", values...)
	os.Exit(1)
}

func usage() {
	fmt.Fprintf(os.Stderr, "usage: bench_go QUESTION [--reps N] [--workers N] [--count N] [--quick]\n\nQuestions:\n")
	names := make([]string, 0, len(questions))
	for name := range questions {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Fprintf(os.Stderr, "  %-12s %s\n", name, questions[name].asks)
	}
}

func main() {
	if len(os.Args) < 2 || strings.HasPrefix(os.Args[1], "-") {
		usage()
		if len(os.Args) == 2 && os.Args[1] == "--help" {
			os.Exit(0)
		}
		os.Exit(2)
	}
	q, known := questions[os.Args[1]]
	if !known {
		fmt.Fprintf(os.Stderr, "bench_go: no question %q; see --help\n", os.Args[1])
		os.Exit(2)
	}
	a := args{bench: os.Args[1]}
	set := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	set.IntVar(&a.reps, "reps", 0, "samples after one warm-up (default 11, with --quick 3)")
	set.IntVar(&a.count, "count", 0, "as the C benchmark of the same name")
	set.BoolVar(&a.quick, "quick", false, "a smoke test: not for quoting")
	workers := set.Int("workers", 1, "GOMAXPROCS; 0: one for each CPU usable")
	_ = set.Parse(os.Args[2:]) // ExitOnError: does not return an error
	if set.NArg() != 0 || a.reps < 0 || a.count < 0 || *workers < 0 {
		fmt.Fprintln(os.Stderr, "bench_go: bad option; see --help")
		os.Exit(2)
	}
	if *workers > 0 {
		runtime.GOMAXPROCS(*workers)
	}
	if a.reps == 0 {
		a.reps = 11
		if a.quick {
			a.reps = 3
		}
	}
	if a.count == 0 {
		a.count = q.count
		if a.quick {
			a.count = q.quick
		}
	}
	q.run(a)
}

// result is one JSON line; the order of the fields is that of the C harness.
type result struct {
	Bench   string    `json:"bench"`
	Case    string    `json:"case"`
	Who     string    `json:"who"`
	Workers int       `json:"workers"`
	Unit    string    `json:"unit"`
	Median  float64   `json:"median"`
	Min     float64   `json:"min"`
	Max     float64   `json:"max"`
	Spread  float64   `json:"spread"`
	Reps    int       `json:"reps"`
	Samples []float64 `json:"samples"`
}

func (a args) print(text, unit string, samples []float64) {
	sorted := append([]float64(nil), samples...)
	sort.Float64s(sorted)
	n := len(sorted)
	median := (sorted[(n-1)/2] + sorted[n/2]) / 2
	spread := 0.0
	if median > 0 {
		spread = (sorted[n-1] - sorted[0]) / median
	}
	line, err := json.Marshal(result{a.bench, text, "go", runtime.GOMAXPROCS(0), unit, median,
		sorted[0], sorted[n-1], spread, n, samples})
	if err != nil {
		die("bench_go: %v", err)
	}
	fmt.Println(string(line))
}

// repeat takes one warm-up and a.reps samples.
func (a args) repeat(text, unit string, measure func() float64) {
	samples := make([]float64, 0, a.reps)
	measure()
	for i := 0; i < a.reps; i++ {
		samples = append(samples, measure())
	}
	a.print(text, unit, samples)
}

// perOp is the time since start for each of n operations, in nanoseconds.
func perOp(start time.Time, n int) float64 {
	return float64(time.Since(start).Nanoseconds()) / float64(n)
}

// cpuTime is the CPU time of this process, all threads.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		die("getrusage: %v", err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// memoryNow reads what the C harness reads: resident set, page tables, mappings.
func memoryNow() (rss, tables, mappings float64) {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		die("%v", err)
	}
	var size, pages float64
	fmt.Sscan(string(statm), &size, &pages)
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		die("%v", err)
	}
	for _, line := range strings.Split(string(status), "\n") {
		if rest := strings.TrimPrefix(line, "VmPTE:"); rest != line {
			fmt.Sscan(rest, &tables)
		}
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		die("%v", err)
	}
	return pages * float64(os.Getpagesize()), tables * 1024, float64(strings.Count(string(maps), "\n"))
}
