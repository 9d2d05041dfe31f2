package memory_test

import (
	"context"
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/memory"
	"github.com/tidings-go/tidings/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) {
	storetest.Run(t, func(testing.TB) storetest.Fixture {
		s := memory.New()
		return storetest.Fixture{Open: func(testing.TB) store.Store { return s }, Next: next}
	})
}

// next keeps the user's counter in the store itself, for want of another place that is rolled back.
func next(ctx context.Context, native store.Native, key string) (int, error) {
	tx := native.StoreTx()
	_, saved, err := tx.Claim(ctx, "counters", key)
	if err != nil {
		return 0, err
	}
	var n uint64
	if len(saved) > 0 {
		n = binary.BigEndian.Uint64(saved)
	}
	n++
	return int(n), tx.Save(ctx, "counters", key, binary.BigEndian.AppendUint64(nil, n))
}

func TestScheduledRowsComeInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		start := time.Now()
		due := store.Row{Record: broker.Record{Value: []byte("in a day")}, Due: start.Add(24 * time.Hour)}
		err := s.InTx(t.Context(), func(ctx context.Context, tx store.Native) error { return tx.StoreTx().Append(ctx, due) })
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		err = s.Lanes(ctx, "", func(ctx context.Context, lane broker.Partition) {
			defer cancel()
			deliveries, failed := lane.Fetch(ctx, 1, 1)
			if failed != nil || len(deliveries) != 1 || time.Since(start) != 24*time.Hour {
				t.Errorf("after %v Fetch returned %v and the error %v", time.Since(start), deliveries, failed)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
