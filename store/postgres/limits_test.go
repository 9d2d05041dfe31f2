package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/postgres"
)

// fill appends until the outbox is full, and returns how many rows that took and the error.
func fill(t *testing.T, s *postgres.Store) (n int, err error) {
	t.Helper()
	testenv.Eventually(t, 30*time.Second, func() error {
		err = s.InTx(t.Context(), func(ctx context.Context, tx store.Native) error { return tx.StoreTx().Append(ctx, event("x")) })
		if err == nil {
			n++
			return errors.New("the outbox takes rows for ever")
		}
		return nil
	})
	return n, err
}

func TestTheOutboxIsFullOfRows(t *testing.T) {
	t.Parallel()
	for _, sqlDoor := range []bool{false, true} {
		s := ready(t, postgres.Config{MaxRows: 3, SQL: sqlDoor})
		n, err := fill(t, s)
		if n < 3 || !errors.Is(err, store.ErrOutboxFull) || !strings.Contains(err.Error(), "at least 3 rows") {
			t.Fatalf("after %d rows InTx returned %v, want store.ErrOutboxFull", n, err)
		}
		letter := store.Row{State: store.Dead, Queue: "q"}
		err = s.InTx(t.Context(), func(ctx context.Context, tx store.Native) error { return tx.StoreTx().Append(ctx, letter) })
		if err != nil {
			t.Errorf("a dead letter was refused because the outbox is full: %v", err)
		}
		tx, err := s.Pool().Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Join(tx).StoreTx().Append(t.Context(), event("x")); !errors.Is(err, store.ErrOutboxFull) {
			t.Errorf("Append to a joined transaction returned %v, want store.ErrOutboxFull", err)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		for r := range s.List(t.Context(), store.Filter{Queues: []string{""}}) {
			err := s.InTx(t.Context(), func(ctx context.Context, tx store.Native) error {
				_, err := tx.StoreTx().Move(ctx, store.Gone, r.ID)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		testenv.Eventually(t, 30*time.Second, func() error {
			return s.InTx(t.Context(), func(ctx context.Context, tx store.Native) error { return tx.StoreTx().Append(ctx, event("x")) })
		})
	}
}

func TestTheOutboxIsTooOld(t *testing.T) {
	t.Parallel()
	s := ready(t, postgres.Config{MaxAge: 50 * time.Millisecond})
	if n, err := fill(t, s); n == 0 || !errors.Is(err, store.ErrOutboxFull) || !strings.Contains(err.Error(), "oldest row") {
		t.Errorf("after %d rows InTx returned %v, want store.ErrOutboxFull", n, err)
	}
}
