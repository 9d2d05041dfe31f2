package consume

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidings-go/tidings/broker"
)

// Bounds of what is remembered of one message's failures.
const (
	maxHistory   = 20
	maxErrorText = 4 << 10
	maxStackText = 8 << 10
)

// Dead is a message that the consumer gave up on.
type Dead struct {
	Group string
	// Reaction is the name of the reaction that failed.
	Reaction string
	Delivery *broker.Delivery
	// History is what happened, oldest first: the first failure and the last 19.
	History []Failure
}

// Failure is one failed attempt.
type Failure struct {
	Time time.Time `json:"time"`
	// Attempt counts from 1. It begins again when another process takes the partition over.
	Attempt int `json:"attempt"`
	// Error is the error's text, at most 4 KiB of it.
	Error string `json:"error"`
	// Panic says that the handler panicked, and Stack where: at most 8 KiB of it.
	Panic bool   `json:"panic,omitempty"`
	Stack string `json:"stack,omitempty"`
}

// panicError is a handler's panic as an error. It hides the panic's value from errors.As: a verdict that was thrown is still a panic.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// errExit is what is said of a handler that called runtime.Goexit, as t.FailNow does.
var errExit = errors.New("the handler ended its goroutine instead of returning")

// errNoDeadLetter keeps messages that were given up on when nobody takes them.
var errNoDeadLetter = errors.New("Config.DeadLetter is missing, so the message is kept")

func newFailure(attempt int, err error) Failure {
	f := Failure{Time: time.Now(), Attempt: attempt, Error: clip(err.Error(), maxErrorText)}
	if p, ok := errors.AsType[*panicError](err); ok {
		f.Panic, f.Stack = true, clip(string(p.stack), maxStackText)
	}
	return f
}

// remember appends f, and forgets the second oldest when there are too many: the first failure tells most.
func remember(history []Failure, f Failure) []Failure {
	if len(history) < maxHistory {
		return append(history, f)
	}
	copy(history[1:], history[2:])
	history[maxHistory-1] = f
	return history
}

// clip shortens text to limit bytes and keeps it valid UTF-8, because it ends up in JSON and in databases that check it.
func clip(text string, limit int) string {
	if len(text) > limit {
		text = text[:limit] + " …"
	}
	return strings.ToValidUTF8(text, "�")
}
