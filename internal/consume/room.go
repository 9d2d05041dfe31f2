package consume

import (
	"context"
	"errors"
	"io"
	"time"
)

// awaitRoom waits until p may fetch, and returns how much.
func (c *Consumer) awaitRoom(ctx context.Context, p *partition) (limit, maxBytes int, err error) {
	err = c.await(ctx, p, func() bool {
		limit, maxBytes = c.room(p)
		return limit > 0
	})
	return limit, maxBytes, err
}

// awaitFinished waits until everything of p is finished.
func (c *Consumer) awaitFinished(ctx context.Context, p *partition) error {
	if err := c.await(ctx, p, func() bool { return p.oldest == nil }); err != nil {
		return err
	}
	return io.EOF
}

// hearken is how long a partition waits for room before it listens to its source meanwhile: waits are mostly short, and listening costs a goroutine.
const hearken = 50 * time.Millisecond

// await waits for a condition, which is checked again at each nudge. The consumer's stop is io.EOF. A partition that is paused or full
// for long asks its source whether it is to be given back; to a reader that reads to the end nobody else can come.
func (c *Consumer) await(ctx context.Context, p *partition, condition func() bool) error {
	for {
		c.mu.Lock()
		met := condition()
		p.starved = !met
		c.mu.Unlock()
		if met {
			return nil
		}
		if err := c.awaitNudge(ctx, p); err != nil {
			return err
		}
	}
}

func (c *Consumer) awaitNudge(ctx context.Context, p *partition) error {
	timer := time.NewTimer(hearken)
	defer timer.Stop()
	listen := timer.C
	if c.cfg.ToEnd {
		listen = nil
	}
	select {
	case <-p.wake:
		return nil
	case <-p.stop:
		return io.EOF
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-listen:
	}
	nudged, cancel := context.WithCancel(ctx)
	defer cancel()
	heard := make(chan error, 1)
	go func() {
		_, err := p.source.Fetch(nudged, 0, 0)
		heard <- err
	}()
	select {
	case <-p.wake:
		cancel()
		if err := <-heard; errors.Is(err, io.EOF) {
			return io.EOF
		}
		return nil
	case <-p.stop:
		cancel()
		<-heard //nolint:errcheck // the stop says enough
		return io.EOF
	case err := <-heard:
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
}

// room is how much p may fetch now; nothing is 0. While work goes on in p it waits until a good part of its share is free, so that
// it doesn't fetch one by one; when the rest only waits for retries or for a batch to fill, any room will do.
func (c *Consumer) room(p *partition) (limit, maxBytes int) {
	if c.paused || len(p.done) >= maxUnsettled {
		return 0, 0
	}
	messages := max(1, c.cfg.MaxMessages/len(c.partitions))
	size := max(1, c.cfg.MaxBytes/len(c.partitions))
	if p.held == 0 {
		return min(messages, maxFetch), size
	}
	limit, maxBytes = messages-p.held, size-p.bytes
	moving := p.count[ready] + p.count[running]
	if limit <= 0 || maxBytes <= 0 || moving > 0 && (limit < messages/4 || maxBytes < size/4) {
		return 0, 0
	}
	return min(limit, maxFetch), maxBytes
}

// nudge lets p's fetcher look again, if it waits and there is reason to.
func (c *Consumer) nudge(p *partition) {
	if !p.starved {
		return
	}
	if limit, _ := c.room(p); limit > 0 || p.oldest == nil {
		p.starved = false
		signal(p.wake)
	}
}

func (c *Consumer) wakeFetchers() {
	for p := range c.partitions {
		c.nudge(p)
	}
}

// signal makes sure that whoever receives from ch does so once more.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
