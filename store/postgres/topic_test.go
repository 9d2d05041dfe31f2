package postgres_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store/postgres"
)

// topicRelay publishes to a table of the user's schema, which stands for a broker that several processes reach.
type topicRelay struct {
	s      *postgres.Store
	who    string
	tables string
	owned  atomic.Int64
}

// relayForEver is the role of another process.
func relayForEver(ctx context.Context, s *postgres.Store, user string) error {
	r := &topicRelay{s: s, who: "asleep", tables: user}
	return s.Lanes(ctx, "", r.relay)
}

func (r *topicRelay) relay(ctx context.Context, p broker.Partition) {
	r.owned.Add(1)
	defer r.owned.Add(-1)
	for {
		deliveries, err := p.Fetch(ctx, 50, 1<<20)
		if err != nil {
			return
		}
		var keys, values []string
		var done []uint64
		for _, d := range deliveries {
			keys, values, done = append(keys, d.Key), append(values, string(d.Value)), append(done, d.Sequence)
		}
		const insert = `INSERT INTO %s.topic (who, key, value) SELECT $1, key, value FROM unnest($2::text[], $3::text[]) WITH ORDINALITY u (key, value, n) ORDER BY n`
		if _, err := r.s.Pool().Exec(ctx, fmt.Sprintf(insert, r.tables), r.who, keys, values); err != nil {
			return
		}
		if p.Settle(ctx, broker.Settlement{Done: done}) != nil {
			return
		}
	}
}

func (r *topicRelay) wantOwned(want int64) error {
	if got := r.owned.Load(); got != want {
		return fmt.Errorf("the relay has %d lanes, want %d", got, want)
	}
	return nil
}

// readTopic returns what was published in its order, and how many rows each relay published.
func readTopic(tb testing.TB, s *postgres.Store, tables string) (published *log, who map[string]int) {
	tb.Helper()
	rows, err := s.Pool().Query(tb.Context(), `SELECT who, key, value FROM `+tables+`.topic ORDER BY place`)
	if err != nil {
		tb.Fatal(err)
	}
	published, who = newLog(), map[string]int{}
	var name, key, value string
	_, err = pgx.ForEachRow(rows, []any{&name, &key, &value}, func() error {
		published.see(key, value)
		who[name]++
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return published, who
}
