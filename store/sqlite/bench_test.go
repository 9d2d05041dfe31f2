package sqlite_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store"
)

// BenchmarkInTx is a business row and an outbox row per transaction, each committed durably.
func BenchmarkInTx(b *testing.B) {
	for _, callers := range []int{1, 16} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s := open(b, filepath.Join(b.TempDir(), "bench.db"))
			if err := s.Migrate(b.Context()); err != nil {
				b.Fatal(err)
			}
			exec(b, s, `CREATE TABLE orders (id INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT`)
			row := store.Row{Record: broker.Record{Topic: "orders", Key: "42", Value: make([]byte, 300)}}
			b.ResetTimer()
			var wait sync.WaitGroup
			for c := range callers {
				wait.Go(func() {
					for range (b.N + callers - 1 - c) / callers {
						if err := order(b.Context(), s, row); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wait.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
		})
	}
}

// order commits an order and its outbox row.
func order(ctx context.Context, s store.Store, row store.Row) error {
	return s.InTx(ctx, func(ctx context.Context, tx store.Native) error {
		if _, err := native(tx).ExecContext(ctx, `INSERT INTO orders (body) VALUES ($1)`, "a body"); err != nil {
			return err
		}
		return tx.StoreTx().Append(ctx, row)
	})
}
