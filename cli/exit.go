package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitFailure = 1
	exitUsage   = 2
	exitChanges = 100
)

// usageError is a call that makes no sense.
type usageError struct{ error }

// Unwrap is for errors.Is and errors.As.
func (e usageError) Unwrap() error { return e.error }

// Usage is err as [Report] tells of a call that makes no sense: with exit code 2. Commands of your own return it for wrong flags and arguments.
func Usage(err error) error { return usageError{err} }

// ErrWrong is what a command returns that ran, found something wrong, and has said so already. [Report] adds nothing to it; the exit code is 1.
var ErrWrong = errors.New("something is wrong")

// errChanges says that a plan is not empty.
var errChanges = errors.New("there is something to change")

// Report says on w what went wrong, once, in the name of a program, and returns the exit code for it.
func Report(w io.Writer, program string, err error) int {
	_, usage := errors.AsType[usageError](err)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errChanges):
		return exitChanges
	case errors.Is(err, ErrWrong):
		return exitFailure
	}
	_, _ = fmt.Fprintf(w, "%s: %v\n", program, err) // if nobody hears it, nobody is left to tell
	if usage {
		return exitUsage
	}
	return exitFailure
}

// NoArgs is for the Args of a command that takes none: what looks like a command and is none is refused as a wrong call, with the command that it resembles.
func NoArgs(cmd *cobra.Command, args []string) error {
	err := cobra.NoArgs(cmd, args)
	if err == nil {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		err = fmt.Errorf("%w: did you mean %s?", err, strings.Join(near, " or "))
	}
	return usageError{err}
}

// output is the flag that all commands have.
type output struct{ format string }

func (o *output) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.format, "output", "o", "text", "how to print: text or json")
}

func (o *output) check() error {
	if o.format != "text" && o.format != "json" {
		return usageError{fmt.Errorf("--output %q: want text or json", o.format)}
	}
	return nil
}

// print prints a document: as JSON, or as text does it.
func (o *output) print(w io.Writer, document any, text func(w io.Writer) error) error {
	if o.format == "json" {
		return printJSON(w, document)
	}
	return text(w)
}

func printJSON(w io.Writer, document any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(document); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// IsTerminal reports whether a person reads or writes there: the stream is a terminal, not a file, a pipe or a test's buffer.
func IsTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
