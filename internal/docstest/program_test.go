package docstest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"
)

// program is what a page has started.
type program struct {
	cmd *exec.Cmd
	out logBook
	// done is closed when the program has ended, with err.
	done chan struct{}
	err  error
}

// start starts a program and waits until it has said some words. The one before is ended first.
func (r *reader) start(ctx context.Context, script, words string) error {
	if err := r.interrupt(); err != nil {
		return err
	}
	p := &program{done: make(chan struct{})}
	p.cmd = r.command(context.WithoutCancel(ctx), "exec "+script) // the signal is for the program, not for a shell
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		return err
	}
	r.program = p
	go func() {
		defer close(p.done)
		p.err = p.cmd.Wait()
	}()
	return r.await("…" + words + "…\n")
}

// await waits until the program has said something.
func (r *reader) await(text string) error {
	if r.program == nil {
		return errors.New("nothing runs that could say this")
	}
	return within(waitTimeout, func() error {
		ended := false
		select {
		case <-r.program.done:
			ended = true
		default:
		}
		said := r.words.theirs(r.program.out.String())
		switch {
		case matches("…\n"+text+"…", said):
			return nil
		case ended:
			return errEnded{r.program.err, said}
		}
		return fmt.Errorf("want\n%s\nit has said\n%s", text, said)
	})
}

// errEnded says that a program has ended, so that there is nothing more to wait for.
type errEnded struct {
	err  error
	said string
}

func (e errEnded) Error() string {
	return fmt.Sprintf("the program has ended (%v) and said\n%s", e.err, e.said)
}

// interrupt ends the program as Ctrl-C does.
func (r *reader) interrupt() error {
	p := r.program
	if p == nil {
		return nil
	}
	r.program = nil
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	timer := time.AfterFunc(waitTimeout, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	if <-p.done; p.err != nil {
		return fmt.Errorf("the program did not end well: %w\n%s", p.err, p.out.String())
	}
	return nil
}

// within calls check until it returns nil, for some time.
func within(timeout time.Duration, check func() error) error {
	deadline := time.Now().Add(timeout)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		late := time.Now().After(deadline)
		err := check()
		var ended errEnded
		switch {
		case err == nil:
			return nil
		case errors.As(err, &ended):
			return err
		case late:
			return fmt.Errorf("still not so after %v: %w", timeout, err)
		}
		<-tick.C
	}
}

// logBook is what a program has said so far.
type logBook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

var spaces = regexp.MustCompile(` {2,}`)

// matches compares what was printed with what a page shows: "…" in a line is anything, a line of "…" alone is any lines, and columns may be wider.
func matches(want, got string) bool {
	tidy := func(s string) []string {
		return strings.Split(strings.TrimSpace(spaces.ReplaceAllString(s, "  ")), "\n")
	}
	var expr strings.Builder
	expr.WriteString(`\A\n?`)
	for _, line := range tidy(want) {
		if line = strings.TrimRight(line, " "); line == "…" {
			expr.WriteString(`(?:[^\n]*\n)*`)
			continue
		}
		expr.WriteString(strings.ReplaceAll(regexp.QuoteMeta(line), "…", `[^\n]*`) + ` *\n`)
	}
	expr.WriteString(`\z`)
	return regexp.MustCompile(expr.String()).MatchString(strings.Join(tidy(got), "\n") + "\n")
}
