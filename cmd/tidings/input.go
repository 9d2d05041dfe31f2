package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/tidings-go/tidings/examples/tickets"
)

// Input lines are read ahead by this many, and are at most so long.
const (
	inputWorkers = 32
	maxLine      = 64 << 10
)

// readInput makes a booking of each line. A bad line is reported with its number and skipped.
func (d *demoRun) readInput(ctx context.Context, bar *bar) error {
	in := d.in
	if d.options.input != "-" {
		f, err := os.Open(d.options.input)
		if err != nil {
			return fmt.Errorf("read bookings: %w", err)
		}
		defer f.Close() //nolint:errcheck // it is only read
		in = f
	}
	i := &input{run: d, bar: bar}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	lines := make(chan line, inputWorkers)
	var workers sync.WaitGroup
	for range inputWorkers {
		workers.Go(func() {
			for l := range lines {
				if err := i.book(ctx, l); err != nil {
					cancel(err)
				}
			}
		})
	}
	err := i.scan(ctx, in, lines)
	close(lines)
	workers.Wait()
	return errors.Join(err, context.Cause(ctx))
}

// input is a file of bookings.
type input struct {
	run *demoRun
	bar *bar

	mu   sync.Mutex
	made int64
}

type line struct {
	number int
	text   []byte
}

func (i *input) scan(ctx context.Context, in io.Reader, lines chan<- line) error {
	scanner := bufio.NewScanner(in)
	scanner.Buffer(nil, maxLine)
	number := 0
	for scanner.Scan() {
		number++
		text := bytes.TrimSpace(scanner.Bytes())
		if len(text) == 0 {
			continue
		}
		select {
		case lines <- line{number, bytes.Clone(text)}:
		case <-ctx.Done():
			return nil
		}
	}
	if err := scanner.Err(); err != nil {
		return fmt.Errorf("read bookings after line %d: %w", number, err)
	}
	return nil
}

// book makes the booking of a line. An error ends the run.
func (i *input) book(ctx context.Context, l line) error {
	var request tickets.Request
	decoder := json.NewDecoder(bytes.NewReader(l.text))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&request)
	if err == nil && decoder.More() {
		err = errors.New("more than one value")
	}
	if err != nil {
		i.bad(l, err)
		return nil
	}
	_, err = i.run.platform.Book(ctx, request)
	if _, ok := errors.AsType[*tickets.Invalid](err); ok {
		i.bad(l, err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("line %d: %w", l.number, err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.made++
	i.bar.set(i.made)
	return nil
}

func (i *input) bad(l line, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.run.badLines++
	fmt.Fprintf(i.run.status, "line %d: %v\n", l.number, err)
}
