package program

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
)

// ErrWrong says that a summary shows what should not be.
var ErrWrong = errors.New("something is wrong")

// Flags are those of a load, which every example has.
type Flags struct {
	// Load is how many requests to make. 0: the program runs until somebody ends it.
	Load int
	// Output is how to print the summary: text or json.
	Output string
}

// Parse adds --load and -o to the example's own flags, and parses all of them.
func (f *Flags) Parse(set *flag.FlagSet, args []string) error {
	set.IntVar(&f.Load, "load", 0, "make this many requests as fast as possible, read everything back, print a summary and end")
	set.StringVar(&f.Output, "o", "text", "how to print the summary: text or json")
	if err := set.Parse(args); err != nil {
		return err
	}
	switch {
	case set.NArg() > 0:
		return fmt.Errorf("%q: want flags only", set.Arg(0))
	case f.Load < 0:
		return fmt.Errorf("--load %d: want a positive number", f.Load)
	case f.Output != "text" && f.Output != "json":
		return fmt.Errorf("-o %q: want text or json", f.Output)
	}
	return nil
}

// Logger writes to standard error. During a load it leaves out what is not a warning.
func (f *Flags) Logger() *slog.Logger {
	level := slog.LevelInfo
	if f.Load > 0 {
		level = slog.LevelWarn
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

// Summary tells what became of a load, as text and in JSON.
type Summary interface {
	fmt.Stringer
	// Fine reports whether nothing is wrong.
	Fine() bool
}

// Print prints a summary as the flags want it. It returns [ErrWrong] when that is not fine.
func (f *Flags) Print(out io.Writer, s Summary) error {
	var err error
	if f.Output == "json" {
		err = json.NewEncoder(out).Encode(s)
	} else {
		_, err = io.WriteString(out, s.String())
	}
	if err == nil && !s.Fine() {
		err = ErrWrong
	}
	return err
}
