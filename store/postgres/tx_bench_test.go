package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/postgres"
)

// BenchmarkInTx is a business row per transaction, each committed durably: without an event, with one, with one and a claim as a reaction has it,
// and with ten.
func BenchmarkInTx(b *testing.B) {
	for _, sqlDoor := range []bool{false, true} {
		for _, writers := range []int{1, 8} {
			for _, c := range []struct {
				name   string
				events int
				claim  bool
			}{{"none", 0, false}, {"event", 1, false}, {"event and claim", 1, true}, {"ten events", 10, false}} {
				b.Run(fmt.Sprintf("SQL=%v/writers=%d/%s", sqlDoor, writers, c.name), func(b *testing.B) {
					w := &workload{s: ready(b, postgres.Config{SQL: sqlDoor}), user: newSchema(b), claim: c.claim}
					run(b, testenv.Postgres(b), `CREATE SCHEMA `+w.user, `CREATE TABLE `+w.user+`.orders (n bigint PRIMARY KEY, body text NOT NULL)`)
					row := store.Row{Record: broker.Record{Topic: "orders", Key: "42", Value: make([]byte, 300)}, Source: "/shop", MessageID: "0199"}
					for range c.events {
						w.rows = append(w.rows, row)
					}
					w.run(b, writers)
				})
			}
		}
	}
}

// workload is transactions that insert an order, and append rows.
type workload struct {
	s     *postgres.Store
	user  string
	rows  []store.Row
	claim bool
}

func (w *workload) run(b *testing.B, writers int) {
	b.Helper()
	b.ResetTimer()
	var writing sync.WaitGroup
	for first := range writers {
		writing.Go(func() {
			for n := first; n < b.N; n += writers {
				if err := w.one(b.Context(), n); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	writing.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
}

func (w *workload) one(ctx context.Context, n int) error {
	return w.s.InTx(ctx, func(ctx context.Context, tx store.Native) error {
		if w.claim {
			if _, _, err := tx.StoreTx().Claim(ctx, "shop.mailer", fmt.Sprintf("/shop %d", n)); err != nil {
				return err
			}
		}
		var inserted int64
		err := queryRow(ctx, tx, `INSERT INTO `+w.user+`.orders VALUES ($1, $2) RETURNING n`, n, "a body").Scan(&inserted)
		if err != nil || len(w.rows) == 0 {
			return err
		}
		return tx.StoreTx().Append(ctx, w.rows...)
	})
}
