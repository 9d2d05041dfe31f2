//go:build unix

package chaos_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/internal/admin"
	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/postgres"
	"github.com/tidings-go/tidings/store/sqlite"
)

const (
	heldKeys   = 8
	heldRounds = 40
)

// storeCloser is a store that its test closes.
type storeCloser interface {
	store.Store
	Close() error
}

// openStore opens what "sqlite:file" or "schema@postgres-url" means.
func openStore(ctx context.Context, url string) (storeCloser, error) {
	quiet := slog.New(slog.DiscardHandler)
	if file, ok := strings.CutPrefix(url, "sqlite:"); ok {
		return sqlite.Open(ctx, file, sqlite.Config{Log: quiet})
	}
	schema, server, _ := strings.Cut(url, "@")
	return postgres.Open(ctx, server, postgres.Config{Schema: schema, SQL: true, Lease: 2 * time.Second, Log: quiet})
}

// holder is a replica of a service that holds keys, or parks when the mode says so. It asks a clerk about each message.
func holder(brokerURL, storeURL, service, clerk, mode string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	b, closeBroker, err := open(ctx, brokerURL)
	if err != nil {
		return err
	}
	defer closeBroker()
	s, err := openStore(ctx, storeURL)
	if err != nil {
		return err
	}
	defer s.Close()
	event := tidings.Define[step](service, "Stepped", "v1")
	app := tidings.New(tidings.Config{Service: service, Broker: b, Store: s, Stop: 5 * time.Second, Log: slog.New(slog.DiscardHandler)})
	app.Emits(event)
	ask := func(ctx context.Context, s step) error {
		conn, failed := (&net.Dialer{}).DialContext(ctx, "tcp", clerk)
		if failed != nil {
			return failed
		}
		defer conn.Close()
		if _, failed = fmt.Fprintf(conn, "%s %d\n", s.Key, s.N); failed != nil {
			return failed
		}
		answer, failed := bufio.NewReader(conn).ReadString('\n')
		if failed == nil && answer != "ok\n" {
			failed = errors.New("the clerk says no")
		}
		return failed
	}
	sub := tidings.Subscription{Name: "steps", OnFailure: tidings.HoldKey, Retry: tidings.Retry{Attempts: 2, Min: 5 * time.Millisecond, Max: 10 * time.Millisecond}}
	if mode == "park" {
		sub.OnFailure = tidings.Park
	}
	if mode == "inbox" {
		app.Subscribe(sub, tidings.OnTx(event, func(ctx context.Context, _ *store.SQLTx, s step) error { return ask(ctx, s) }))
	} else {
		app.Subscribe(sub, tidings.On(event, ask))
	}
	return app.Run(ctx)
}

// attend does what people do about dead letters: it discards those that are hopeless, and sends the others back.
func attend(ctx context.Context, s store.Store, c *clerk, event *tidings.Event[step]) error {
	dead, err := admin.Find(ctx, s, admin.Filter{States: []store.State{store.Dead}})
	if err != nil {
		return err
	}
	for _, row := range dead {
		if strings.Contains(row.Queue, "/") {
			continue // Discarded already.
		}
		payload, err := event.Decode(row.Record.Value)
		if err != nil {
			return err
		}
		if hopeless(payload) {
			c.resolve(payload)
			err = admin.Discard(ctx, s, []store.Row{row}, "a test")
		} else {
			err = admin.Retry(ctx, s, []store.Row{row})
		}
		if err != nil && !errors.Is(err, admin.ErrChanged) {
			return err
		}
	}
	return nil
}

// Messages fail for good while processes of the service are killed: all that is later in a key waits until a person has resolved the first, and follows in order.
func TestHeldKeysKeepTheirOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, broker, store, mode string }{
		{"NATS and SQLite", testenv.NATS(t), "sqlite", "hold"},
		{"NATS and PostgreSQL, with an inbox", testenv.NATS(t), "postgres", "inbox"},
		{"Kafka and PostgreSQL", testenv.Kafka(t), "postgres", "hold"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if broken := playHeld(t, c.broker, newStore(t, c.store), c.mode, 3); len(broken) > 0 {
				t.Errorf("%d violations, the first: %s", len(broken), broken[0])
			}
		})
	}
}

// The control: a subscription that parks and goes on must be found out.
func TestTheClerkNoticesThatNothingIsHeld(t *testing.T) {
	t.Parallel()
	if broken := playHeld(t, testenv.NATS(t), newStore(t, "sqlite"), "park", 0); len(broken) == 0 {
		t.Error("nothing was held and the clerk saw nothing wrong: it can't see anything")
	}
}

// newStore makes an empty database and returns the URL that openStore takes.
func newStore(t *testing.T, kind string) string {
	t.Helper()
	if kind == "sqlite" {
		return "sqlite:" + filepath.Join(t.TempDir(), "test.db")
	}
	schema := "chaos_" + strings.ToLower(rand.Text()[:12])
	url := schema + "@" + testenv.Postgres(t)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		s, err := postgres.Open(ctx, testenv.Postgres(t), postgres.Config{Schema: schema})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = s.Pool().Exec(ctx, "DROP SCHEMA "+schema+" CASCADE"); err != nil {
			t.Error(err)
		}
		_ = s.Close()
	})
	return url
}

// playHeld publishes while processes come, hold keys and are killed so many times, and people resolve what is dead, and returns what the clerk saw.
func playHeld(t *testing.T, brokerURL, storeURL, mode string, kills int) []string {
	t.Helper()
	service := "held-" + mode + "-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	c := newClerk(t)
	s, err := openStore(t.Context(), storeURL)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err = s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	b, closeBroker, err := open(t.Context(), brokerURL)
	if err != nil {
		t.Fatal(err)
	}
	defer closeBroker()
	app, event := build(b, service)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	<-app.Ready()

	start := func() *exec.Cmd {
		return command(t, "holder", brokerURL, storeURL, service, c.listener.Addr().String(), mode)
	}
	replicas := []*exec.Cmd{start(), start()}
	attending := func(enough int) {
		testenv.Eventually(t, 2*time.Minute, func() error {
			if err := attend(t.Context(), s, c, event); err != nil {
				t.Fatal(err)
			}
			if n := c.count(); n < enough {
				return fmt.Errorf("%d of %d messages are resolved", n, enough)
			}
			return nil
		})
	}
	for round := range heldRounds {
		var messages []tidings.Message
		for k := range heldKeys {
			messages = append(messages, event.New(step{"key-" + strconv.Itoa(k), round + 1}))
		}
		if err := app.Direct().Publish(t.Context(), messages...); err != nil {
			t.Fatal(err)
		}
		attending(0)
		if round%13 == 8 && round/13 < kills {
			i := round / 13 % 2
			attending(round * heldKeys / 4)
			_ = replicas[i].Process.Kill()
			_ = replicas[i].Wait()
			replicas[i] = start()
		}
	}
	attending(heldKeys * heldRounds)
	for _, r := range replicas {
		_ = r.Process.Signal(syscall.SIGTERM)
		if err := r.Wait(); err != nil {
			t.Errorf("a replica: %v", err)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return c.broken
}
