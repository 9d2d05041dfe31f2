package outbox

import (
	"context"
	"time"
)

const (
	// settleTime is how long one settlement may take.
	settleTime = 10 * time.Second
	// settleAhead is how many batches may be acknowledged and not settled before publishing waits.
	settleAhead = 256
)

// settler settles what was acknowledged: at once when it is idle, and all that has come meanwhile when it was busy.
type settler struct {
	settle  func(ctx context.Context, ids []uint64) error
	gather  time.Duration
	acked   chan []uint64
	failed  chan struct{} // closed when nothing is settled any more
	closing chan struct{}
}

func newSettler(settle func(ctx context.Context, ids []uint64) error, gather time.Duration) *settler {
	return &settler{
		settle: settle, gather: gather, acked: make(chan []uint64, settleAhead),
		failed: make(chan struct{}), closing: make(chan struct{}),
	}
}

// add hands over what was acknowledged. It waits while there is too much of it.
func (s *settler) add(ids []uint64) {
	select {
	case s.acked <- ids:
	case <-s.failed:
	}
}

// close lets run return, when everything was settled.
func (s *settler) close() {
	close(s.closing)
	close(s.acked)
}

// run settles until close. The end of ctx doesn't keep what was acknowledged from being deleted: that would only make duplicates.
func (s *settler) run(ctx context.Context) error {
	defer close(s.failed)
	for ids := range s.acked {
		ids = s.gathered(ids)
		settling, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
		err := s.settle(settling, ids)
		cancel()
		if err != nil {
			return err
		}
		pause(ctx, s.closing, s.gather)
	}
	return nil
}

// gathered adds what else is there.
func (s *settler) gathered(ids []uint64) []uint64 {
	for {
		select {
		case more := <-s.acked: // nil, for ever, once it is closed and empty
			if more == nil {
				return ids
			}
			ids = append(ids, more...)
		default:
			return ids
		}
	}
}
