package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/tidings-go/tidings/cli"
	"github.com/tidings-go/tidings/connect"
	"github.com/tidings-go/tidings/embedded"
	"github.com/tidings-go/tidings/internal/admin"
	"github.com/tidings-go/tidings/store"
)

// storeFlags are those of every command that works on a store.
type storeFlags struct {
	store, output string
	mayBeNew      bool // a database that is not there is made
}

func (f *storeFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.store, "store", "", "the store's URL: sqlite:FILE, embedded:DIR or postgres://…")
	cmd.Flags().StringVarP(&f.output, "output", "o", "text", "how to print: text or json")
}

// open opens the store. The caller closes it.
func (f *storeFlags) open(ctx context.Context) (connect.StoreCloser, error) {
	if f.store == "" {
		return nil, cli.Usage(errors.New("--store: name the store, such as sqlite:shop.db or postgres://user@host/db"))
	}
	if f.output != "text" && f.output != "json" {
		return nil, cli.Usage(fmt.Errorf("--output %q: want text or json", f.output))
	}
	if !f.mayBeNew {
		if err := checkThere(f.store); err != nil {
			return nil, err
		}
	}
	return connect.Store(ctx, f.store)
}

// checkThere refuses a local database that is not there: to open it would make it, and it would look like one in which nothing waits.
func checkThere(store string) error {
	scheme, path, _ := strings.Cut(store, ":")
	if scheme != "sqlite" && scheme != "embedded" {
		return nil
	}
	path, _, _ = strings.Cut(strings.TrimPrefix(path, "//"), "?")
	path, err := url.PathUnescape(path)
	if err != nil || path == "" {
		return nil //nolint:nilerr // package connect says what is wrong with the URL
	}
	if scheme == "embedded" {
		path = filepath.Join(path, embedded.Database)
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("--store %s: there is no database %s: is the name right, and the folder that you are in?", store, path)
	}
	return nil
}

// with opens the store, runs fn and closes the store.
func (f *storeFlags) with(ctx context.Context, fn func(s connect.StoreCloser) error) (err error) {
	s, err := f.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return fn(s)
}

// selection are the flags that choose rows, besides ids as arguments.
type selection struct {
	queue  string
	filter admin.Filter
}

func (s *selection) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&s.filter.Topic, "topic", "", "only those of this topic")
	flags.StringVar(&s.filter.Key, "key", "", "only those of this key")
	flags.StringVar(&s.filter.Type, "type", "", "only those of this event type")
	flags.StringVar(&s.filter.Source, "source", "", "only those of this source")
	flags.StringVar(&s.filter.Error, "error", "", "only those whose last error has this in it")
	flags.IntVar(&s.filter.Limit, "limit", 0, "at most so many (default all)")
}

// isEmpty reports whether nothing was said that chooses rows.
func (s *selection) isEmpty() bool {
	f := s.filter
	return len(f.IDs) == 0 && s.queue == "" && f.Topic == "" && f.Key == "" && f.Type == "" && f.Source == "" && f.Error == "" && f.Limit == 0
}

// take reads ids from the arguments.
func (s *selection) take(args []string) error {
	for _, arg := range args {
		id, err := strconv.ParseInt(arg, 10, 64)
		if err != nil || id < 1 {
			return cli.Usage(fmt.Errorf("%q is no id: list shows them", arg))
		}
		s.filter.IDs = append(s.filter.IDs, id)
	}
	return nil
}

// consent are the flags of commands that change something.
type consent struct {
	dryRun, yes, all bool
}

func (c *consent) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&c.dryRun, "dry-run", false, "show what would be changed, and change nothing")
	cmd.Flags().BoolVar(&c.yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&c.all, "all", false, "all there are, where nothing else says which")
}

// given asks, where it was not told: a person at a terminal is asked, a script has to say --yes.
func (c *consent) given(cmd *cobra.Command, question string) (bool, error) {
	if c.yes {
		return true, nil
	}
	if !cli.IsTerminal(cmd.InOrStdin()) {
		return false, cli.Usage(fmt.Errorf("%s Say --yes, or --dry-run to see them", question))
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s [y/N] ", question)
	answer, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	return strings.EqualFold(strings.TrimSpace(answer), "y"), nil
}

// rowView is a row as JSON prints it.
type rowView struct {
	ID        int64             `json:"id"`
	Queue     string            `json:"queue"`
	State     string            `json:"state"`
	Topic     string            `json:"topic"`
	Key       string            `json:"key,omitempty"`
	Type      string            `json:"type,omitempty"`
	Source    string            `json:"source,omitempty"`
	MessageID string            `json:"message_id,omitempty"`
	Created   time.Time         `json:"created"`
	Due       *time.Time        `json:"due,omitempty"`
	WaitsFor  []int64           `json:"waits_for,omitempty"`
	Behind    int               `json:"behind,omitempty"`
	Error     string            `json:"error,omitempty"`
	History   []admin.Failure   `json:"history,omitempty"`
	Headers   map[string]string `json:"headers,omitempty"`
	Data      string            `json:"data,omitempty"`
	Base64    string            `json:"data_base64,omitempty"`
}

func viewOf(r *store.Row, w admin.Waiting) rowView {
	v := rowView{
		ID: r.ID, Queue: r.Queue, State: r.State.String(), Topic: r.Record.Topic, Key: r.Record.Key, Type: admin.Type(r),
		Source: r.Source, MessageID: r.MessageID, Created: r.Created.UTC(), WaitsFor: w.For, Behind: w.Behind,
	}
	if len(r.History) > 0 {
		v.Error = admin.LastError(r)
	}
	if !r.Due.IsZero() {
		due := r.Due.UTC()
		v.Due = &due
	}
	return v
}

// wholeView has what list leaves out.
func wholeView(r *store.Row, w admin.Waiting) rowView {
	v := viewOf(r, w)
	if len(r.History) > 0 {
		v.History = admin.History(r)
	}
	v.Headers = map[string]string{}
	for _, h := range r.Record.Headers {
		v.Headers[h.Name] = h.Value
	}
	if utf8.Valid(r.Record.Value) {
		v.Data = string(r.Record.Value)
	} else {
		v.Base64 = base64.StdEncoding.EncodeToString(r.Record.Value)
	}
	return v
}

// waiting is how v and others wait for each other, in a few words.
func (v *rowView) waiting() string {
	switch {
	case len(v.WaitsFor) > 0:
		return "for " + strings.Trim(fmt.Sprint(v.WaitsFor), "[]")
	case v.State == store.Held.String():
		return "for its turn"
	case v.Behind > 0:
		return fmt.Sprint(v.Behind, " behind")
	}
	return "-"
}

// printRows prints a table, or one JSON object per line, with what the rows wait for.
func printRows(ctx context.Context, out io.Writer, s store.Store, output string, rows []store.Row) error {
	waits, err := admin.Waits(ctx, s, rows)
	if err != nil {
		return err
	}
	if output == "json" {
		encoder := json.NewEncoder(out)
		for i := range rows {
			if err := encoder.Encode(viewOf(&rows[i], waits[rows[i].ID])); err != nil {
				return fmt.Errorf("print: %w", err)
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tSTATE\tQUEUE\tTYPE\tKEY\tAGE\tWAITING\tERROR")
	for i := range rows {
		v := viewOf(&rows[i], waits[rows[i].ID])
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
			v.ID, v.State, v.Queue, v.Type, oneLine(v.Key, 40), age(v.Created), v.waiting(), oneLine(v.Error, 80))
	}
	return table.Flush()
}

// printRow prints all of a row.
func printRow(out io.Writer, output string, r *store.Row, w admin.Waiting) error {
	v := wholeView(r, w)
	if output == "json" {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(v)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, line := range [][2]string{
		{"id", strconv.FormatInt(v.ID, 10)},
		{"state", v.State},
		{"waiting", v.waiting()},
		{"queue", v.Queue},
		{"topic", v.Topic},
		{"key", v.Key},
		{"type", v.Type},
		{"source", v.Source},
		{"message id", v.MessageID},
		{"created", v.Created.Format(time.RFC3339Nano)},
	} {
		fmt.Fprintf(table, "%s\t%s\n", line[0], line[1])
	}
	for _, h := range r.Record.Headers {
		fmt.Fprintf(table, "%s\t%s\n", h.Name, h.Value)
	}
	for _, f := range v.History {
		fmt.Fprintf(table, "attempt %d\t%s  %s\n", f.Attempt, f.Time.Format(time.RFC3339), f.Error)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	_, err := fmt.Fprintf(out, "\n%s%s\n", v.Data, v.Base64)
	return err
}

func age(since time.Time) string {
	if since.IsZero() {
		return "-"
	}
	return time.Since(since).Round(time.Second).String()
}

// oneLine is a text without line ends and not longer than n characters.
func oneLine(text string, n int) string {
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return text
}
