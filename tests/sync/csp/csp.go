// SPDX-License-Identifier: MIT
// csp.go - runs programs of processes and channels on Go, as csp.c does on weft; see program.h and model.h.
//
// usage: csp RUNS < programs > outcomes
//
// An outcome is a line of numbers: the seed; each process's end, number of events and events; what is left in each channel, behind
// its number. Processes that are stuck stay so to the end of this one.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	procs, chans, mutexes, events, cases = 4, 3, 2, 28, 6
	isNew, isEnded, isStuck              = 0, 1, 2
	ok, closed, again                    = 0, 1, 2
)

type choice struct {
	send bool
	ch   int // -1: nil
}

type step struct {
	op            string
	arg, rounds   int
	poll, forward bool
	cases         []choice
}

type program struct {
	seed, work  int
	caps, words []int
	later       []bool
	code        [][]step
}

type process struct {
	m              *machine
	index, pc, end int
	noise          uint64
	last           uint32
	events         []int
}

type machine struct {
	program *program
	chans   []reflect.Value
	mutexes [mutexes]sync.Mutex
	work    sync.WaitGroup
	alive   int32 // processes
	over    int32 // 1: what still waits may be woken, but goes no further
	procs   []*process
}

var types = map[int]reflect.Type{
	0: reflect.TypeOf(struct{}{}), 1: reflect.TypeOf([1]uint32{}), 10: reflect.TypeOf([10]uint32{}),
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return n
}

func readStep(words []string) step {
	s := step{op: words[0]}
	for _, word := range words[1:] {
		switch {
		case word == "poll":
			s.poll = true
		case word == "forward":
			s.forward = true
		case word[0] == 'x':
			s.rounds = number(word[1:])
		case word[0] == 's' || word[0] == 'r':
			s.cases = append(s.cases, choice{word[0] == 's', number(word[1:])})
		default:
			s.arg = number(word)
		}
	}
	return s
}

func readProgram(in *bufio.Scanner) *program {
	p := &program{}
	for in.Scan() {
		words := strings.Fields(in.Text())
		switch words[0] {
		case "program":
			p.seed, p.work = number(words[1]), number(words[2])
		case "chan":
			p.caps, p.words = append(p.caps, number(words[1])), append(p.words, number(words[2]))
		case "proc":
			p.later, p.code = append(p.later, words[1] == "later"), append(p.code, nil)
		case "end":
			return p
		default:
			last := &p.code[len(p.code)-1]
			*last = append(*last, readStep(words))
		}
	}
	return nil
}

func (p *process) record(which, status, value int) {
	if len(p.events) < events {
		p.events = append(p.events, which<<13|status<<11|value)
	}
}

// What the process sends in case k.
func (p *process) element(s *step, k int) reflect.Value {
	words, value := 0, uint32(((p.index+1)*32+len(p.events))*cases+k)
	if s.cases[k].ch >= 0 {
		words = p.m.program.words[s.cases[k].ch]
	}
	if s.forward {
		value = p.last
	}
	v := reflect.New(types[words]).Elem()
	for i := 0; i < words; i++ {
		v.Index(i).SetUint(uint64(value))
	}
	return v
}

// Does the call. in is what was received, done whether that was sent by somebody.
func (p *process) perform(s *step) (which int, in reflect.Value, done, late bool) {
	if s.op == "select" {
		choices := []reflect.SelectCase{}
		for k, c := range s.cases {
			one := reflect.SelectCase{Dir: reflect.SelectRecv}
			if c.send {
				one = reflect.SelectCase{Dir: reflect.SelectSend, Send: p.element(s, k)}
			}
			if c.ch >= 0 {
				one.Chan = p.m.chans[c.ch]
			}
			choices = append(choices, one)
		}
		if s.poll {
			choices = append(choices, reflect.SelectCase{Dir: reflect.SelectDefault})
		}
		which, in, done = reflect.Select(choices)
		return which % len(s.cases), in, done, which == len(s.cases)
	}
	ch := p.m.chans[s.cases[0].ch]
	switch {
	case s.cases[0].send && s.poll:
		late = !ch.TrySend(p.element(s, 0))
	case s.cases[0].send:
		ch.Send(p.element(s, 0))
	case s.poll:
		in, done = ch.TryRecv()
		late = !in.IsValid()
	default:
		in, done = ch.Recv()
	}
	return 0, in, done, late
}

// False: the channel was closed.
func (p *process) communicate(s *step) (open bool) {
	defer func() {
		if recover() != nil { // send on closed channel
			p.record(0, closed, 0)
			open = false
		}
	}()
	which, in, done, late := p.perform(s)
	if late {
		p.record(0, again, 0)
		return true
	}
	c := s.cases[which]
	if !c.send && !done {
		p.record(which, closed, 0)
		return false
	}
	value := 0
	if !c.send && in.Type().Kind() == reflect.Array {
		p.last = uint32(in.Index(in.Len() - 1).Uint())
		value = int(p.last)
	}
	p.record(which, ok, value)
	return true
}

func (p *process) close(ch reflect.Value) {
	defer func() {
		if recover() != nil { // close of closed channel
			p.record(0, closed, 0)
		}
	}()
	ch.Close()
	p.record(0, ok, 0)
}

// Now and then, lets others go first.
func (p *process) disturb() {
	if atomic.LoadInt32(&p.m.over) != 0 {
		select {}
	}
	p.noise = p.noise*6364136223846793005 + 1442695040888963407
	draw := int(p.noise >> 60)
	for i := 9; i < draw && draw < 13; i++ {
		runtime.Gosched()
	}
	for i := 0; draw >= 13 && i < (draw-12)*400; i++ {
		atomic.LoadInt32(&p.m.alive)
	}
}

func (p *process) run() {
	code, rounds := p.m.program.code[p.index], 0
	for ; p.pc < len(code); p.pc++ {
		p.disturb()
		switch s := &code[p.pc]; s.op {
		case "call", "select":
			p.communicate(s)
		case "drain":
			for p.communicate(s) {
				p.disturb()
			}
		case "close":
			p.close(p.m.chans[s.arg])
		case "spawn":
			p.m.start(s.arg)
		case "lock":
			p.m.mutexes[s.arg].Lock()
		case "unlock":
			p.m.mutexes[s.arg].Unlock()
		case "done":
			p.m.work.Done()
		case "wait":
			p.m.work.Wait()
		case "yield":
			runtime.Gosched()
		case "loop":
			if rounds = (rounds + 1) % s.rounds; rounds > 0 {
				p.pc = s.arg - 1
			}
		}
	}
	p.end = isEnded
	atomic.AddInt32(&p.m.alive, -1)
}

func (m *machine) start(index int) {
	m.procs[index].end = isStuck // unless it gets to its end
	atomic.AddInt32(&m.alive, 1)
	go m.procs[index].run()
}

var room = make([]byte, 1<<24)

// Whether all goroutines but the caller are blocked: nobody is left to wake them.
func allAsleep() bool {
	stacks := room[:runtime.Stack(room, true)]
	if len(stacks) == len(room) {
		panic("too many goroutines: run fewer programs at a time")
	}
	awake := 0
	for _, stack := range bytes.Split(stacks, []byte("\n\n")) {
		state := stack[bytes.IndexByte(stack, '[')+1:]
		awake++
		for _, reason := range []string{"chan ", "select", "semacquire", "sync."} {
			if bytes.HasPrefix(state, []byte(reason)) {
				awake--
			}
		}
	}
	return awake == 1
}

func execute(prog *program, noise int) *machine {
	m := &machine{program: prog}
	m.work.Add(prog.work)
	for c, words := range prog.words {
		m.chans = append(m.chans, reflect.MakeChan(reflect.ChanOf(reflect.BothDir, types[words]), prog.caps[c]))
	}
	for i := range prog.code {
		m.procs = append(m.procs, &process{m: m, index: i, noise: uint64(noise*8 + i)})
	}
	for i, later := range prog.later {
		if !later {
			m.start(i)
		}
	}
	for i := 1; atomic.LoadInt32(&m.alive) > 0; i++ {
		runtime.Gosched()
		if i%100 == 0 && allAsleep() {
			break
		}
	}
	atomic.StoreInt32(&m.over, 1)
	return m
}

func (m *machine) print() {
	line := []interface{}{m.program.seed}
	for i := 0; i < procs; i++ {
		if i >= len(m.procs) || m.procs[i].end == isNew {
			line = append(line, isNew, 0)
			continue
		}
		p := m.procs[i]
		if p.end == isStuck {
			p.end += p.pc
		}
		line = append(line, p.end, len(p.events))
		for _, event := range p.events {
			line = append(line, event)
		}
	}
	for c := 0; c < chans; c++ {
		left := 0
		if c < len(m.chans) {
			left = m.chans[c].Len()
		}
		line = append(line, left)
		for ; left > 0; left-- {
			value := uint64(0)
			if v, _ := m.chans[c].Recv(); v.Kind() == reflect.Array {
				value = v.Index(0).Uint()
			}
			line = append(line, value)
		}
	}
	fmt.Println(line...)
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	for prog := readProgram(in); prog != nil; prog = readProgram(in) {
		for run := 0; run < number(os.Args[1]); run++ {
			execute(prog, prog.seed*1000+run).print()
		}
	}
}
