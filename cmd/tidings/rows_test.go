package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/connect"
	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/sqlite"
)

// shelf is a store with rows, and its URL.
type shelf struct {
	*sqlite.Store
	url string
}

func newShelf(t *testing.T, rows ...store.Row) shelf {
	t.Helper()
	file := filepath.Join(t.TempDir(), "shop.db")
	s, err := sqlite.Open(t.Context(), file, sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if failed := s.Close(); failed != nil {
			t.Error(failed)
		}
	})
	if err = s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	err = s.InTx(t.Context(), func(ctx context.Context, tx store.Native) error { return tx.StoreTx().Append(ctx, rows...) })
	if err != nil {
		t.Fatal(err)
	}
	return shelf{s, "sqlite:" + file}
}

// rows lists what the store has, as "state queue message-id".
func (s shelf) rows(t *testing.T) string {
	t.Helper()
	var list []string
	for r, err := range s.List(t.Context(), store.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprint(r.State, " ", r.Queue, " ", r.MessageID))
	}
	return strings.Join(list, ", ")
}

// letter is a row whose message has that id.
func letter(queue, id string, state store.State) store.Row {
	headers := []broker.Header{
		{Name: "ce-specversion", Value: "1.0"},
		{Name: "ce-id", Value: id},
		{Name: "ce-source", Value: "/shop"},
		{Name: "ce-type", Value: "shop.OrderPlaced.v1"},
		{Name: "content-type", Value: "application/json"},
	}
	r := store.Row{
		Record: broker.Record{Topic: "orders", Key: "k", Headers: headers, Value: []byte(`{"n":1}`)},
		Queue:  queue, State: state, Source: "/shop", MessageID: id,
	}
	if state == store.Dead {
		r.History = []byte(`[{"time":"2026-01-02T03:04:05Z","attempt":3,"error":"mail server is down"}]`)
	}
	return r
}

// Held messages say what they wait for, and dead letters how many wait for them.
func TestWhatIsHeldIsListedWithWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	other := letter("shop.mailer", "x", store.Held)
	other.Record.Key = "other"
	s := newShelf(t, letter("shop.mailer", "a", store.Dead), letter("shop.mailer", "b", store.Held), letter("shop.mailer", "c", store.Held), other, letter("shop.other", "a", store.Dead))
	list := func(args ...string) string {
		r := tidings(t, "", append([]string{"deadletters", "list", "--store", s.url}, args...)...)
		if r.code != 0 {
			t.Fatalf("list: %+v", r)
		}
		return r.out
	}
	if out := list(); strings.Count(out, "\n") != 3 || !strings.Contains(out, "2 behind") || strings.Contains(out, "held") {
		t.Errorf("list: %s", out)
	}
	if out := list("--held"); strings.Count(out, "\n") != 6 || strings.Count(out, " for 1 ") != 2 || strings.Count(out, "for its turn") != 1 {
		t.Errorf("list with what is held: %s", out)
	}
	if out := list("--held", "-o", "json"); strings.Count(out, `"waits_for":[1]`) != 2 || strings.Count(out, `"behind":2`) != 1 {
		t.Errorf("list as JSON: %s", out)
	}
	if r := tidings(t, "", "deadletters", "show", "2", "--store", s.url); r.code != 0 || !regexp.MustCompile(`(?m)^waiting +for 1$`).MatchString(r.out) {
		t.Errorf("show: %+v", r)
	}
	if r := tidings(t, "", "deadletters", "retry", "2", "--store", s.url); r.code != exitFailure || !strings.Contains(r.status, "only 0 are dead letters") {
		t.Errorf("retry of a held message: %+v", r)
	}
	if r := tidings(t, "", "deadletters", "retry", "1", "--store", s.url); r.code != 0 {
		t.Errorf("retry: %+v", r)
	}
	if out := list("--held", "--key", "k", "--subscription", "shop.mailer"); strings.Count(out, " for 6 ") != 2 {
		t.Errorf("list while the first is handled again: %s", out)
	}
}

func TestDeadLettersAreListedRetriedEditedAndDiscarded(t *testing.T) {
	t.Parallel()
	s := newShelf(t, letter("shop.mailer", "a", store.Dead), letter("shop.mailer", "b", store.Dead), letter("shop.other", "c", store.Dead), letter("", "d", store.Dead))
	list := tidings(t, "", "deadletters", "list", "--store", s.url, "--subscription", "shop.mailer", "-o", "json")
	if list.code != 0 || strings.Count(list.out, "\n") != 2 || !strings.Contains(list.out, `"error":"mail server is down"`) {
		t.Fatalf("list: %+v", list)
	}
	if text := tidings(t, "", "deadletters", "list", "--store", s.url); strings.Count(text.out, "\n") != 4 || !strings.HasPrefix(text.out, "ID  STATE") {
		t.Errorf("list as text: %+v", text)
	}
	if show := tidings(t, "", "deadletters", "show", "1", "--store", s.url); !strings.Contains(show.out, "attempt 3") || !strings.Contains(show.out, `{"n":1}`) {
		t.Errorf("show: %+v", show)
	}
	for name, want := range map[string]struct {
		args []string
		code int
		says string
	}{
		"which ones":    {[]string{"retry"}, exitUsage, "Name ids or a filter"},
		"no terminal":   {[]string{"retry", "--all"}, exitUsage, "Retry 3 dead letters? Say --yes"},
		"dry run":       {[]string{"retry", "--all", "--dry-run"}, 0, "would retry 3 dead letters"},
		"no such id":    {[]string{"retry", "4711"}, exitFailure, "row 4711: there is no such row"},
		"the outbox's":  {[]string{"retry", "4"}, exitFailure, "only 0 are dead letters"},
		"no reason":     {[]string{"discard", "1"}, exitUsage, "--reason: say why"},
		"not an id":     {[]string{"show", "x"}, exitUsage, `"x" is no id`},
		"nothing to do": {[]string{"edit", "1"}, exitUsage, "say --data or --header"},
		"a bad header":  {[]string{"edit", "1", "--header", "ce-subject"}, exitUsage, "want NAME=VALUE"},
		"no event":      {[]string{"edit", "1", "--header", "ce-type="}, exitFailure, "no valid event"},
		"no JSON":       {[]string{"edit", "1", "--data", "-"}, exitFailure, "no JSON"},
		"planned edit":  {[]string{"edit", "1", "--header", "ce-subject=42", "--dry-run"}, 0, ""},
	} {
		r := tidings(t, `{"n":`, append([]string{"deadletters"}, append(want.args, "--store", s.url)...)...)
		if r.code != want.code || !strings.Contains(r.status, want.says) {
			t.Errorf("%s: exit %d, %q, want %d, %q", name, r.code, r.status, want.code, want.says)
		}
	}
	before := "dead shop.mailer a, dead shop.mailer b, dead shop.other c, dead  d"
	if got := s.rows(t); got != before {
		t.Fatalf("all that changed nothing left %s", got)
	}

	if r := tidings(t, "", "deadletters", "retry", "--subscription", "shop.other", "--yes", "--store", s.url); r.code != 0 || r.out != "retry: 1 dead letters\n" {
		t.Errorf("retry: %+v", r)
	}
	if r := tidings(t, "", "deadletters", "discard", "1", "--reason", "a test", "--store", s.url, "-o", "json"); r.code != 0 || r.out != `{"action":"discard","rows":1}`+"\n" {
		t.Errorf("discard: %+v", r)
	}
	r := tidings(t, `{"n":2}`, "deadletters", "edit", "2", "--data", "-", "--store", s.url, "-o", "json")
	var edited struct {
		ID string `json:"message_id"`
	}
	if err := json.Unmarshal([]byte(r.out), &edited); r.code != 0 || err != nil {
		t.Fatalf("edit: %+v, %v", r, err)
	}
	want := "dead  d, ready shop.other c, dead shop.mailer/discarded a, ready shop.mailer " + edited.ID + ", dead shop.mailer/discarded b"
	if got := s.rows(t); got != want {
		t.Errorf("left are %s, want %s", got, want)
	}
}

func TestOutboxRowsAreParkedReleasedAndDiscarded(t *testing.T) {
	t.Parallel()
	s := newShelf(t, letter("", "a", store.Ready), letter("", "b", store.Ready), letter("shop.mailer", "c", store.Dead))
	if r := tidings(t, "", "outbox", "list", "--store", s.url, "-o", "json"); strings.Count(r.out, "\n") != 2 {
		t.Errorf("list: %+v", r)
	}
	if r := tidings(t, "", "outbox", "park", "1", "2", "--reason", "wrong price", "--store", s.url); r.code != 0 {
		t.Errorf("park: %+v", r)
	}
	status := tidings(t, "", "outbox", "status", "--sample", "1ms", "--store", s.url)
	if status.code != 0 || !strings.Contains(status.out, `stuck      row 1, key "k" of orders: parked: wrong price`) || !strings.Contains(status.out, "relay      none is known") {
		t.Errorf("status: %+v", status)
	}
	var view outboxView
	if r := tidings(t, "", "outbox", "status", "--sample", "1ms", "--store", s.url, "-o", "json"); json.Unmarshal([]byte(r.out), &view) != nil || view.Dead != 2 || len(view.Stuck) != 2 {
		t.Errorf("status as JSON: %+v", r)
	}
	if r := tidings(t, "", "outbox", "release", "1", "--store", s.url); r.code != 0 {
		t.Errorf("release: %+v", r)
	}
	if r := tidings(t, "", "outbox", "discard", "2", "--reason", "a test", "--store", s.url); r.code != 0 {
		t.Errorf("discard: %+v", r)
	}
	if got := s.rows(t); got != "held  a, dead shop.mailer c, dead outbox/discarded b" {
		t.Errorf("left are %s", got)
	}
	if r := tidings(t, "", "outbox", "show", "1", "--store", s.url, "-o", "json"); !strings.Contains(r.out, `"data": "{\"n\":1}"`) {
		t.Errorf("show: %+v", r)
	}
}

func TestMigrateMakesTables(t *testing.T) {
	t.Parallel()
	url := "sqlite:" + filepath.Join(t.TempDir(), "new.db")
	if r := tidings(t, "", "migrate", "status", "--store", url, "-o", "json"); r.code != exitFailure || !strings.Contains(r.out, `"version":0`) {
		t.Errorf("before: %+v", r)
	}
	if r := tidings(t, "", "migrate", "print", "--store", url); r.code != 0 || !strings.Contains(r.out, "CREATE TABLE tidings_rows") {
		t.Errorf("print: %+v", r)
	}
	if r := tidings(t, "", "migrate", "up", "--store", url); r.code != 0 || !strings.HasPrefix(r.out, "version 3 of 3") {
		t.Errorf("up: %+v", r)
	}
	if r := tidings(t, "", "migrate", "status"); r.code != exitUsage || !strings.Contains(r.status, "--store") {
		t.Errorf("without a store: %+v", r)
	}
}

// A misspelt database is an error, and isn't made.
func TestADatabaseThatIsNotThereIsNotMade(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a b")
	for _, url := range []string{"embedded:" + url.PathEscape(dir), "embedded://" + dir, "sqlite:" + dir + "?poll=1s"} {
		for _, args := range [][]string{{"deadletters", "list"}, {"outbox", "status"}, {"outbox", "show", "1"}} {
			if r := tidings(t, "", append(args, "--store", url)...); r.code != exitFailure || !strings.Contains(r.status, "there is no database "+dir) {
				t.Errorf("%s --store %s: %+v", args, url, r)
			}
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it was made: %v", err)
	}
}

// A relay of its own publishes what waits, shows in the status, and ends within a second of a signal.
func TestRelayPublishesUntilASignal(t *testing.T) {
	t.Parallel()
	s := newShelf(t, letter("", "a", store.Ready), letter("", "b", store.Ready))
	data := filepath.Join(t.TempDir(), "node")
	makeTopic(t, "embedded:"+data, "orders")
	cmd, _, status := command(t.Context(), "relay", "--store", s.url, "--broker", "embedded:"+data)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	testenv.Eventually(t, 30*time.Second, func() error {
		now, err := s.Status(t.Context())
		if err == nil && (len(now.Queues) > 0 || len(now.Lanes) == 0) {
			err = fmt.Errorf("the store holds %+v", now)
		}
		return err
	})
	began := time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(status.String(), "published 2") {
		t.Errorf("the relay ended after %v with %v:\n%s", time.Since(began), err, status)
	}
}

// makeTopic does what the service that owns the topic does when it starts.
func makeTopic(t *testing.T, url, name string) {
	t.Helper()
	b, err := connect.Broker(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Topics(t.Context(), broker.Apply, broker.Topic{Name: name}); err != nil {
		t.Error(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
