package sqlite_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/sqlite"
)

func TestAFullOutboxRefusesMore(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]sqlite.Config{"holds 3 rows": {MaxRows: 3}, "oldest row is": {MaxAge: time.Millisecond}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			if err = s.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			add := func(rows ...store.Row) error {
				return s.InTx(t.Context(), func(ctx context.Context, tx store.Native) error { return tx.StoreTx().Append(ctx, rows...) })
			}
			if err = add(store.Row{}, store.Row{}, store.Row{}); err != nil {
				t.Fatal(err)
			}
			testenv.Eventually(t, 10*time.Second, func() error {
				if full := add(store.Row{}); !errors.Is(full, store.ErrOutboxFull) || !strings.Contains(full.Error(), name) {
					return errors.Join(errors.New("one more was not refused"), full)
				}
				return nil
			})
			if err = add(store.Row{Queue: "shop.mailer", State: store.Dead, MessageID: "1"}); err != nil {
				t.Errorf("a dead letter was refused: %v", err)
			}
			for row := range s.List(t.Context(), store.Filter{Queues: []string{""}}) {
				err = errors.Join(err, s.InTx(t.Context(), func(ctx context.Context, tx store.Native) error {
					_, moved := tx.StoreTx().Move(ctx, store.Gone, row.ID)
					return moved
				}))
			}
			if err = errors.Join(err, add(store.Row{})); err != nil {
				t.Errorf("an empty outbox refused a row: %v", err)
			}
		})
	}
}
