package brokertest

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// recorder is a testing.TB that remembers failures instead of failing the test.
type recorder struct {
	testing.TB
	ctx context.Context //nolint:containedctx // It stands for the test's.

	mu       sync.Mutex // guards what follows
	failures []string
	cleanups []func()
}

// record runs a scenario to its end and returns what it complained about.
func record(t *testing.T, run func(tb testing.TB)) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &recorder{TB: t, ctx: ctx}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		run(r)
	}()
	<-ended
	cancel()
	for _, cleanup := range slices.Backward(r.cleanups) {
		cleanup()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.failures, "\n")
}

func (r *recorder) Context() context.Context { return r.ctx }
func (r *recorder) Helper()                  {}
func (r *recorder) Log(...any)               {}
func (r *recorder) Logf(string, ...any)      {}
func (r *recorder) Error(args ...any)        { r.fail(fmt.Sprint(args...)) }

func (r *recorder) Errorf(format string, args ...any) { r.fail(fmt.Sprintf(format, args...)) }

func (r *recorder) Fatalf(format string, args ...any) {
	r.fail(fmt.Sprintf(format, args...))
	runtime.Goexit()
}

func (r *recorder) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

func (r *recorder) fail(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, what)
}
