package tidings

import (
	"time"

	"github.com/tidings-go/tidings/internal/consume"
)

// Discard says that a message needs no handling, now or later: it is acknowledged, counted and logged with err as the reason.
func Discard(err error) error { return consume.Discard(err) }

// RetryAfter says that a message is to be tried again after d, whatever the retry policy says about the wait. It counts as an attempt.
func RetryAfter(d time.Duration, err error) error { return consume.RetryAfter(d, err) }

// DeadLetter says that trying again can't help: the message goes to the dead letters at once, with err.
func DeadLetter(err error) error { return consume.DeadLetter(err) }

// Unavailable says that nothing is wrong with the message: what the reaction needs is not there, a mail server say. The message is tried again
// with growing waits for as long as it takes, while later messages of its key wait. A store that can't begin or commit is treated like this by itself.
func Unavailable(err error) error { return consume.Unavailable(err) }
