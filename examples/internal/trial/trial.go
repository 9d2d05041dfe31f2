// Package trial is what the tests of the example programs have in common: places to run at, programs that are started and killed, and the comparison of what is printed,
// described and on the wire with what was promised.
package trial

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/connect"
	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store/sqlite"
)

// Name is a name of the test's own that begins so, with which tests can share a server.
func Name(begin string) string { return begin + strings.ToLower(rand.Text()[:8]) }

// Embedded is the URL of an embedded broker and store in a folder of the test's own.
func Embedded(t *testing.T) string {
	t.Helper()
	return "embedded:" + url.PathEscape(t.TempDir())
}

// SQLite is the URL of a database file in a folder of the test's own.
func SQLite(t *testing.T, file string) string {
	t.Helper()
	return "sqlite://" + filepath.Join(t.TempDir(), file)
}

// Postgres makes a PostgreSQL database whose name begins so, drops it after the test, and returns its URL.
func Postgres(t *testing.T, begin string) string {
	t.Helper()
	u, err := url.Parse(testenv.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	name := Name(begin + "_")
	OnPostgres(t, "CREATE DATABASE "+name)
	t.Cleanup(func() { OnPostgres(t, "DROP DATABASE "+name+" WITH (FORCE)") })
	u.Path = "/" + name
	return u.String()
}

// OnPostgres runs a statement in PostgreSQL's own database.
func OnPostgres(t *testing.T, statement string) {
	t.Helper()
	c, err := connect.Open(context.WithoutCancel(t.Context()), connect.Config{Store: testenv.Postgres(t), SQL: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.DB.ExecContext(context.WithoutCancel(t.Context()), statement)
	if err = errors.Join(err, c.Close()); err != nil {
		t.Error(err)
	}
}

// Log shows what is worth a warning when the test fails.
func Log(t *testing.T) *slog.Logger {
	t.Helper()
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// Open opens a broker and a store, and closes them after the test.
func Open(t *testing.T, broker, store string) *connect.Connection {
	t.Helper()
	c, err := connect.Open(t.Context(), connect.Config{Broker: broker, Store: store, SQL: true, Log: Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if bad := c.Close(); bad != nil {
			t.Error(bad)
		}
	})
	return c
}

// Store is an SQLite database of the test's own, with tidings' tables and those of a schema.
func Store(t *testing.T, schema string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if bad := s.Close(); bad != nil {
			t.Error(bad)
		}
	})
	err = s.Migrate(t.Context())
	for statement := range strings.SplitSeq(schema, ";\n") {
		_, failed := s.DB().ExecContext(t.Context(), statement)
		err = errors.Join(err, failed)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Run runs a system until the test ends. It returns when the system calls its work, and so has started.
func Run(t *testing.T, during func(ctx context.Context, work func(ctx context.Context) error) error) {
	t.Helper()
	ready, ended := make(chan struct{}), make(chan error, 1)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	go func() {
		ended <- during(ctx, func(ctx context.Context) error {
			close(ready)
			<-ctx.Done()
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		t.Fatalf("the system ended: %v", err)
	}
}

// Ask calls a request, which must succeed.
func Ask[Q, R any](t *testing.T, h tidings.Host, request *tidings.Request[Q, R], question Q) R {
	t.Helper()
	answer, err := request.Call(t.Context(), h, question)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}
