package cli

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/tidings-go/tidings/broker"
)

// read calls each with what a reader without a group gets, one call at a time, until it wants no more, the reader's end is reached, or ctx ends.
// The last is no error.
func read(ctx context.Context, b broker.Broker, r broker.Reader, each func([]broker.Delivery) (more bool)) error {
	enough, stop := context.WithCancel(ctx)
	defer stop()
	var mu sync.Mutex // guards what each uses, and broken
	var broken error
	take := func(deliveries []broker.Delivery, err error) (more bool) {
		mu.Lock()
		defer mu.Unlock()
		if enough.Err() != nil {
			return false
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				broken = err
			}
			return false
		}
		more = each(deliveries)
		if !more {
			stop()
		}
		return more
	}
	err := b.Consume(enough, r, func(ctx context.Context, p broker.Partition) {
		for take(p.Fetch(ctx, 500, 4<<20)) {
		}
	})
	if enough.Err() != nil {
		return nil
	}
	return errors.Join(err, broken)
}
