package demo

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
	"unicode/utf8"

	"github.com/tidings-go/tidings/examples/tickets/platform"
)

// Input lines are read ahead by this many, and are at most so long.
const (
	inputWorkers = 32
	maxLine      = 64 << 10
)

// readInput makes a booking of each line. A bad line is reported with its number and skipped.
func (r *run) readInput(ctx context.Context, bar *bar) error {
	in := r.in
	if r.options.input != "-" {
		f, err := os.Open(r.options.input)
		if err != nil {
			return fmt.Errorf("read bookings: %w", err)
		}
		defer f.Close() //nolint:errcheck // it is only read
		in = f
	}
	i := &input{run: r, bar: bar}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	lines := make(chan line, inputWorkers)
	scanned := make(chan error, 1)
	go func() { // it may wait for input for ever, and is left to that when the run ends
		defer close(lines)
		scanned <- i.scan(ctx, in, lines)
	}()
	var workers sync.WaitGroup
	for range inputWorkers {
		workers.Go(func() { i.bookAll(ctx, lines, cancel) })
	}
	workers.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return <-scanned
}

// input is a file of bookings.
type input struct {
	run *run
	bar *bar

	mu   sync.Mutex
	made int64
}

type line struct {
	number int
	text   []byte
}

func (i *input) scan(ctx context.Context, in io.Reader, lines chan<- line) error {
	reader := bufio.NewReaderSize(in, maxLine)
	for number := 1; ; number++ {
		text, err := reader.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			i.bad(line{number: number}, fmt.Errorf("longer than %d bytes", maxLine))
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = reader.ReadSlice('\n')
			}
			text = nil
		}
		if number == 1 {
			text = bytes.TrimPrefix(text, []byte("\ufeff"))
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			select {
			case lines <- line{number, bytes.Clone(text)}:
			case <-ctx.Done():
				return nil
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read bookings, line %d: %w", number, err)
		}
	}
}

func (i *input) bookAll(ctx context.Context, lines <-chan line, fail context.CancelCauseFunc) {
	for {
		select {
		case l, more := <-lines:
			if !more {
				return
			}
			if err := i.book(ctx, l); err != nil {
				fail(err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// book makes the booking of a line. An error ends the run.
func (i *input) book(ctx context.Context, l line) error {
	var request platform.Request
	decoder := json.NewDecoder(bytes.NewReader(l.text))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&request)
	if err == nil {
		if _, rest := decoder.Token(); !errors.Is(rest, io.EOF) {
			err = errors.New("something follows the value")
		}
	}
	if err == nil && !utf8.Valid(l.text) {
		err = errors.New("not valid UTF-8")
	}
	if err != nil {
		i.bad(l, err)
		return nil
	}
	_, err = i.run.platform.Book(ctx, request)
	if _, ok := errors.AsType[*platform.Invalid](err); ok {
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
