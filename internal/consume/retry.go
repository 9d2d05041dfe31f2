package consume

import (
	"math/rand/v2"
	"time"
)

// Retry is how often and how fast a failed message is tried again. Zero fields have the defaults.
type Retry struct {
	// Attempts is how often a message is tried in all, the first time included. Default 10; 1 never tries again.
	Attempts int
	// Min is about the wait after the first failure. Default 100 ms.
	Min time.Duration
	// Max is what the wait grows to. Default 30 s, and never less than Min.
	Max time.Duration
}

// OnFailure is what happens to a message that has failed as often as its [Retry] allows.
type OnFailure int

const (
	// Park makes it a dead letter and goes on with the next message of its key.
	Park OnFailure = iota
	// Block goes on trying it, [Retry.Max] apart. Later messages of its key wait; other keys go on.
	Block
)

func (r Retry) withDefaults() Retry {
	if r.Attempts <= 0 {
		r.Attempts = 10
	}
	if r.Min <= 0 {
		r.Min = 100 * time.Millisecond
	}
	if r.Max <= 0 {
		r.Max = 30 * time.Second
	}
	r.Max = max(r.Max, r.Min)
	return r
}

// wait is how long a message waits after its n-th failure, counted from 1: d/2 + random(0, d/2) with d = min(Max, Min × 2^(n-1)).
// This is "equal jitter" (Marc Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015): messages that failed together
// come back spread out, and none comes back at once as it can with full jitter.
func (r Retry) wait(n int) time.Duration {
	d := r.Max
	if shift := max(n-1, 0); shift < 62 && r.Min <= r.Max>>shift {
		d = r.Min << shift
	}
	return d/2 + rand.N(d/2+1)
}
