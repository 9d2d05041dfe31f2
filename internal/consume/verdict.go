package consume

import (
	"errors"
	"fmt"
	"time"
)

// Discard says that a message is finished although it failed: it is counted, logged and never seen again. The result wraps err,
// which may be nil.
func Discard(err error) error { return &verdict{kind: discard, err: err} }

// RetryAfter says that a message is to be tried again after d, whatever the policy would wait. It counts as an attempt like
// any other failure, so that a message can't be postponed for ever. The result wraps err, which may be nil.
func RetryAfter(d time.Duration, err error) error {
	return &verdict{kind: retryAfter, after: max(d, 0), err: err}
}

// DeadLetter says that trying again can't help: the message becomes a dead letter now. The result wraps err, which may be nil.
func DeadLetter(err error) error { return &verdict{kind: deadLetter, err: err} }

// Unavailable says that nothing is wrong with the message: what it needs is not there, a database say. It is tried again with growing
// waits for as long as it takes, and no attempt is counted. The result wraps err, which may be nil.
func Unavailable(err error) error { return &verdict{kind: unavailable, err: err} }

// verdict is an error that says what to do with the message that caused it.
type verdict struct {
	kind  kind
	after time.Duration
	err   error
}

type kind int

const (
	retry kind = iota // by the policy: what every other error says
	discard
	retryAfter
	deadLetter
	unavailable
)

func (v *verdict) Error() string {
	switch {
	case v.err != nil:
		return v.err.Error()
	case v.kind == discard:
		return "the handler discarded the message"
	case v.kind == retryAfter:
		return "the handler asked for the message again after " + v.after.String()
	case v.kind == unavailable:
		return "something that the handler needs is not available"
	default:
		return "the handler gave the message up"
	}
}

func (v *verdict) Unwrap() error { return v.err }

// sound is err, unless it panics when it is asked what it is, as a nil pointer in an error does.
func sound(err error) (out error) {
	defer func() {
		if p := recover(); p != nil {
			out = fmt.Errorf("the handler returned an error of type %T that panics: %v", err, p)
		}
	}()
	_, _ = err.Error(), verdictOf(err)
	return err
}

// verdictOf is what err says to do, also when somebody wrapped the verdict. The outermost one counts.
func verdictOf(err error) verdict {
	if v, ok := errors.AsType[*verdict](err); ok {
		return *v
	}
	return verdict{kind: retry, err: err}
}
