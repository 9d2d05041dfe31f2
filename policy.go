package tidings

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/tidings-go/tidings/internal/consume"
	"github.com/tidings-go/tidings/internal/hold"
)

// Retry says how often and when a failed message is tried again. The wait doubles from Min up to Max, with jitter.
type Retry struct {
	// Attempts is how often a message is tried in total. Default 10.
	Attempts int
	// Min and Max bound the wait before the next attempt. Defaults 100 ms and 30 s.
	Min, Max time.Duration
}

// FailureMode says what happens to a message after its last attempt.
type FailureMode int

const (
	// Park puts the message with its error history into the dead letters and goes on.
	Park FailureMode = iota
	// Block keeps trying. Later messages of the key wait; other keys go on.
	Block
	// HoldKey parks the message and, behind it, everything later of its key, in order, until a person has resolved it; other keys go on. It needs a
	// store, where what is held is kept: it costs neither memory nor the broker's position, and outlives restarts.
	//
	// "tidings deadletters" shows what waits. When the dead letter is sent back (retry, edit) and handled, or discarded, the later ones follow in
	// order; what arrives meanwhile queues up behind them. When it fails again it holds again, and so does a later one that fails. A message that
	// can't be decoded or has an unknown version holds its key too, and one without a key holds nothing. A batch has at most one message of a key.
	//
	// Dead letters that are there when a subscription is switched to HoldKey hold their keys. An app that is switched back doesn't start while
	// messages are held: nobody would handle them.
	//
	// What it can't do: replicas of an older version of the service that park, and still run, don't hold. An edit that changes the key is in order with
	// neither key. When several dead letters of a key from the time before HoldKey are sent back together and one fails, those after it come after what is held.
	// And after a failover a message that was handled, or discarded, may come again, as it may without HoldKey; for that there is [OnTx].
	HoldKey
)

// String is the mode's name: "park", "block" or "hold-key".
func (f FailureMode) String() string {
	switch f {
	case Block:
		return "block"
	case HoldKey:
		return "hold-key"
	case Park:
	}
	return "park"
}

// Breaker stops a subscription whose handlers do nothing but fail, because something that they need is down: no attempt is used up, nothing goes to the
// dead letters, and what is down is left alone to recover. The zero value is none.
//
// While it is open nothing is handled. This replica keeps its partitions and what it has fetched. After each Wait it handles one message, or one
// batch, to see; when that succeeds all go on. What fails while it is open doesn't count as an attempt. Each replica finds out by itself.
//
// A message that fails by itself looks like an outage as long as no other comes: it is tried once each Wait, and uses up its attempts only while
// others succeed.
type Breaker struct {
	// Failures is how many attempts have to fail in a row, over all keys and reactions of the subscription, to open it; one success begins
	// the count anew. A batch is one attempt. Discarded, dead-lettered and undecodable messages don't count. It has to be smaller than
	// Retry.Attempts, so that no message can use up its attempts before. Reactions that need different things belong in different subscriptions. Zero: never.
	Failures int
	// Wait is how long nothing is handled before each probe. Default 10 s.
	Wait time.Duration
}

// afterLast is what the engine does after the last attempt. Holding keys is a way of parking.
func (s *subscriber) afterLast() consume.OnFailure {
	if s.OnFailure == Block {
		return consume.Block
	}
	return consume.Park
}

// onFailure checks what a subscription does about failures.
func (c *checker) onFailure(s *subscriber) {
	switch {
	case s.OnFailure < Park || s.OnFailure > HoldKey:
		c.wrong(s.where, "subscription %q: OnFailure %d is none of Park, Block and HoldKey", s.Name, s.OnFailure)
	case s.OnFailure == HoldKey && c.app.cfg.Store == nil:
		c.wrong(s.where, "subscription %q: HoldKey needs a store, which keeps what is held: set Config.Store, or use Park or Block", s.Name)
	case s.OnFailure == HoldKey && s.Unordered:
		c.wrong(s.where, "subscription %q: HoldKey keeps the order of each key, and Unordered gives it up: drop one of them", s.Name)
	}
	attempts := cmp.Or(s.Retry.Attempts, 10)
	switch b := s.Breaker; {
	case b.Failures < 0 || b.Wait < 0:
		c.wrong(s.where, "subscription %q: Breaker can't be negative", s.Name)
	case b.Failures >= attempts && s.OnFailure != Block:
		c.wrong(s.where, "subscription %q: Breaker.Failures is %d and Retry.Attempts %d: a message could use up its attempts before the breaker opens; make Failures smaller",
			s.Name, b.Failures, attempts)
	case b.Failures == 0 && b.Wait > 0:
		c.wrong(s.where, "subscription %q: Breaker.Wait without Breaker.Failures does nothing", s.Name)
	}
}

// nothingLeft fails when messages are held for a subscription that doesn't hold keys any more.
func (a *App) nothingLeft(ctx context.Context) error {
	for _, m := range a.modules {
		for _, s := range m.subs {
			if s.OnFailure == HoldKey {
				continue
			}
			left, err := hold.Left(ctx, a.cfg.Store, s.group)
			if err != nil {
				return fmt.Errorf("tidings: subscription %s: %w", s.group, err)
			}
			if left {
				return fmt.Errorf("tidings: subscription %s (%s): messages are held behind dead letters from when OnFailure was HoldKey, and nobody would handle them: "+
					"run it with HoldKey until tidings deadletters list --held shows none", s.group, s.where)
			}
		}
	}
	return nil
}
