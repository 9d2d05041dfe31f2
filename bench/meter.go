//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// trial is one round of a measure: it moves n messages. Start and stop bracket what counts; without them all of it does.
type trial struct {
	n      int
	server process

	mu            sync.Mutex // guards what follows
	before, after *reading
	latencies     map[string][]time.Duration
}

// cost is what a trial took.
type cost struct {
	seconds, cpu float64
	server       float64 // CPU seconds of the server; negative: unknown
	allocs, n    float64
}

// measure is one way to do a piece of work.
type measure struct {
	name string
	run  func(ctx context.Context, t *trial) error
}

// spend runs the measure once.
func (m measure) spend(ctx context.Context, t *trial) (cost, error) {
	runtime.GC()
	began := t.server.read()
	err := m.run(ctx, t)
	t.stop()
	if t.before == nil {
		t.before = &began
	}
	if err != nil {
		return cost{}, fmt.Errorf("%s: %w", m.name, err)
	}
	return t.after.since(t.before, t.n), nil
}

// start begins to count.
func (t *trial) start() {
	now := t.server.read()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.before = &now
}

// stop ends counting, if nobody has.
func (t *trial) stop() {
	now := t.server.read()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.after == nil {
		t.after = &now
	}
}

// took notes how long something took.
func (t *trial) took(what string, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.latencies[what] = append(t.latencies[what], d)
}

// countdown returns what a consumer calls once for each message that it has handled, and a channel that is closed when all n have been.
// Counting starts after a fifth of them: by then everybody is connected and has found its pace.
func (t *trial) countdown() (handled func(), all <-chan struct{}) {
	var count atomic.Int64
	n, ahead, done := int64(t.n), int64(t.n/5), make(chan struct{})
	t.n -= t.n / 5
	return func() {
		switch count.Add(1) {
		case ahead:
			t.start()
		case n:
			t.stop()
			close(done)
		}
	}, done
}

// reading is what the meters say.
type reading struct {
	at          time.Time
	cpu, server float64
	allocs      uint64
}

func (p process) read() reading {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return reading{at: time.Now(), cpu: ownCPU(), server: p.cpu(), allocs: memory.Mallocs}
}

func (r *reading) since(before *reading, n int) cost {
	c := cost{seconds: r.at.Sub(before.at).Seconds(), cpu: r.cpu - before.cpu, server: -1, allocs: float64(r.allocs - before.allocs), n: float64(n)}
	if before.server >= 0 && r.server >= 0 {
		c.server = r.server - before.server
	}
	return c
}

// ownCPU is how many seconds of CPU time this process has used.
func ownCPU() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

// process is a server on this machine, by its process id. Zero: unknown.
type process int

// cpu is how many seconds of CPU time a process and its children have used, as Linux tells in /proc. Negative: unknown.
func (p process) cpu() float64 {
	if p == 0 {
		return -1
	}
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return -1
	}
	known, sum := false, 0.0
	for _, file := range files {
		pid, parent, spent := readStat(file)
		if pid == int(p) || parent == int(p) {
			sum += spent
		}
		known = known || pid == int(p)
	}
	if !known {
		return -1
	}
	return sum
}

// readStat returns a process's id, that of its parent, and the CPU time of the process and of its children that have ended.
func readStat(file string) (pid, parent int, spent float64) {
	const ticks = 100 // a second, on every Linux that Go runs on
	stat, err := os.ReadFile(file)
	if err != nil {
		return 0, 0, 0 // it has ended meanwhile
	}
	// The second field is the program's name in brackets, which may hold spaces. The fourth is the parent; the 14th to 17th are times.
	name := strings.LastIndexByte(string(stat), ')')
	fields := strings.Fields(string(stat[name+1:]))
	if len(fields) < 15 {
		return 0, 0, 0
	}
	pid, _ = strconv.Atoi(filepath.Base(filepath.Dir(file)))
	parent, _ = strconv.Atoi(fields[1])
	for _, field := range fields[11:15] {
		n, _ := strconv.ParseFloat(field, 64)
		spent += n / ticks
	}
	return pid, parent, spent
}
